// Norms of gradients as nodes, in f64, for unscale_and_check and the clips. Private to optim/.
#pragma once

#include <weft/graph/step.h>

#include <string>
#include <vector>

namespace weft {

/// The parts of a p-norm over all gradients of a step as they are now, one f64 scalar each: the sum of |g|^p, or the
/// largest |g| where p is infinity; and the norm of them together.
struct GradientNorm {
  double p = 2;
  std::vector<Value> parts;
  Value total;  ///< f64 scalar

  /// The p-norm of gradient i alone.
  Value of(std::size_t i) const;
  /// Whether the norms, or every element of every gradient, are finite: bool scalars.
  Value all_norms_finite() const;
  Value all_elements_finite(const Step& step) const;
};

/// Builds the nodes; `pass` is their provenance. Equal ones are merged when the step is lowered.
GradientNorm gradient_norm(const Step& step, double p, const std::string& pass);

/// "2", "1.5", "inf".
std::string norm_name(double p);

}  // namespace weft
