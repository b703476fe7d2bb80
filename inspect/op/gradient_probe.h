// What check_gradients compares, whatever the gradient came from. Private to inspect/ and testing/.
#pragma once

#include <weft/inspect/op/check_gradients.h>
#include <weft/runtime/tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace weft {

/// A scalar that can be run at moved points, and what is said to be its gradient there. All in f64.
struct GradientProbe {
  std::vector<std::string> names;  ///< of what is differentiated by
  std::vector<Tensor> points;      ///< handles; their bytes are moved in place, and put back
  std::vector<Tensor> analytic;    ///< the gradient at the points, one tensor each
  std::function<double()> run;
  double scale = 0;  ///< |scalar| at the points
};

GradientCheck compare_with_differences(const GradientProbe& probe, const GradientCheckOptions& options);

}  // namespace weft
