// Gates: factors, all 1, on the parts of a value (heads, units). A part's importance is measured by setting its gate to
// 0, or by the gradient with respect to its gate (Michel et al. 2019, "Are Sixteen Heads Really Better than One?",
// section 4.1: xi).
#pragma once

#include <weft/graph/step.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace weft {

/// A gate for each index in `at` along `axis` of `value`: heads of an attention, units of a layer. Axis 0 of the value
/// is the batch.
struct Gates {
  std::string path;  ///< results are published under it
  Value value;
  int axis = -1;
  std::vector<std::int64_t> at;  ///< sorted, none twice
};

/// Finds the gates of a step; nn::heads() returns one for the heads of attention.
using GateFinder = std::function<std::vector<Gates>(const Step&)>;

}  // namespace weft
