// The 0-1 knapsack problem. Private to autodiff/.
#pragma once

#include <cstddef>
#include <vector>

namespace weft {

struct KnapsackItem {
  double value = 0;
  std::size_t weight = 0;
};

/// Which items to take so that their value is largest and their weight at most `capacity`: dynamic programming over
/// the capacity in `steps` parts, weights rounded up (so that the result always fits). Exact where every weight is a
/// multiple of capacity / steps. Among equals the later items are taken.
std::vector<bool> knapsack(const std::vector<KnapsackItem>& items, std::size_t capacity, std::size_t steps = 1000);

}  // namespace weft
