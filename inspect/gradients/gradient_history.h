// Gradient norms over the steps of a training, as one picture.
//
//   GradientHistory history;
//   ...  history.add(step, gradient_report(result, watched));
//   std::ofstream("gradients.svg") << history.svg();
#pragma once

#include <weft/inspect/gradients/gradient_report.h>

#include <cstdint>
#include <string>
#include <vector>

namespace weft {

/// Norms of the gradient of each block's parameters, by step. It keeps two numbers a block and step.
class GradientHistory {
 public:
  struct Curve {
    std::string block;
    std::vector<double> norms;  ///< by report; NaN where the block had no gradient then
  };

  /// UserError: a step that is not after the last.
  void add(std::int64_t step, const GradientReport& report);
  const std::vector<std::int64_t>& steps() const { return steps_; }
  const std::vector<Curve>& curves() const { return curves_; }

  /// An SVG document: a curve a block over the steps, on a logarithmic scale, coloured from the first block to the
  /// last, with a legend. What is 0 lies on the lower edge, what is not finite breaks the curve. UserError: no report
  /// was added.
  std::string svg(const std::string& title = "Gradient norm of each block") const;

 private:
  std::vector<std::int64_t> steps_;
  std::vector<Curve> curves_;
};

}  // namespace weft
