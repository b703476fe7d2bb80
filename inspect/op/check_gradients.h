// Finite differences against the gradient, with a test of order: above the rounding floor the error of a right gradient
// falls as h^2, that of a wrong one stays.
#pragma once

#include <weft/graph/graph.h>
#include <weft/runtime/program.h>

#include <string>
#include <vector>

namespace weft {

struct GradientCheckOptions {
  double h = 1e-6;     ///< torch.autograd.gradcheck: eps
  double atol = 1e-5;  ///< and its tolerances: |analytic - numeric| <= atol + rtol |numeric|
  double rtol = 1e-3;
  bool slope = true;  ///< the order test, along random directions
  int directions = 2;
  std::uint64_t seed = 0;            ///< of the cotangents, the directions and the parameters
  std::int64_t most_elements = 200;  ///< elements of each value that are differenced one by one (evenly spread)
};

struct GradientCheck {
  struct Failure {
    std::string value;          ///< what was differentiated by
    std::int64_t element = -1;  ///< -1: along a direction
    double analytic = 0, numeric = 0;
    std::string why;
    /// Differences do not tell: the point is on a kink and the gradient lies between the slopes on either side, or the
    /// value is so large that its rounding hides them.
    bool undecided = false;
  };
  std::int64_t compared = 0;  ///< elements
  double worst = 0;           ///< largest |analytic - numeric| / (atol + rtol |numeric|)
  /// least observed order of the error over all directions (2 expected; 0: always at the floor)
  double order = 0;
  std::vector<Failure> failures;
  bool passed() const { return failures.empty(); }
  std::string str() const;
};

/// Checks d <outputs, random cotangents> / d values, where values are f64 inputs (fed) or f64 parameters of the graph
/// and outputs are f64. Central differences, all in f64. UserError if a value is of another type.
/// A random op draws the same numbers in every run.
GradientCheck check_gradients(const std::vector<Value>& outputs, const std::vector<Value>& values,
                              std::span<const Feed> feeds = {}, const GradientCheckOptions& options = {});
inline GradientCheck check_gradients(const Value& output, const std::vector<Value>& values,
                                     std::initializer_list<Feed> feeds = {}, const GradientCheckOptions& options = {}) {
  return check_gradients(std::vector<Value>{output}, values, std::span<const Feed>(feeds.begin(), feeds.size()),
                         options);
}

}  // namespace weft
