// Gates: factors, all 1, by which parts of a value are multiplied in thought; what the parts are worth is asked by
// closing them or by differentiating by them (Michel et al. 2019, "Are Sixteen Heads Really Better than One?", section
// 4.1: xi).
#pragma once

#include <weft/graph/step.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace weft {

/// A gate for each index along `axis` of `value` that stands in `at`: heads of an attention, units of a layer. Axis 0
/// of the value is the batch.
struct Gates {
  std::string path;  ///< under which results are published
  Value value;
  int axis = -1;
  std::vector<std::int64_t> at;  ///< sorted, none twice
};

/// The gates of a step: nn::heads() gives one for attention.
using GateFinder = std::function<std::vector<Gates>(const Step&)>;

}  // namespace weft
