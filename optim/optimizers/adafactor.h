// Adafactor: the second moments of a matrix are kept as one number per row and one per column.
#pragma once

#include <weft/optim/optimizer.h>

#include <source_location>

namespace weft {

struct AdafactorConfig {
  Schedule rate = 1e-2;  ///< the largest relative step
  double beta2_decay = -0.8;
  std::optional<double> eps1 = std::nullopt;  ///< least root mean square; none: the dtype's epsilon
  double eps2 = 1e-3;                         ///< least scale of a parameter
  double d = 1;                               ///< largest root mean square of an update
  double weight_decay = 0;                    ///< decoupled: p is shrunk
  bool maximize = false;                      ///< gradient ascent
  int decay_rank = 0;                         ///< tensors of fewer axes do not decay
  std::vector<ParameterGroup> groups = {};
};

/// torch.optim.Adafactor (Shazeer & Stern 2018, algorithms 4 to 6), with rms(x) = sqrt(mean(x^2)):
///   w = t^beta2_decay;  a = max(eps2, rms(p)) min(rate, 1 / sqrt(t));  p <- p (1 - rate decay)
///   [.., R, C]: r <- r + w (mean over C of g^2 - r);  c <- c + w (mean over R of g^2 - c);  v = rc / max(mean r, eps1)
///   vectors and scalars: v <- v + w (g^2 - v)
///   u = g / sqrt(max(v, eps1^2));  p <- p - a u / max(1, rms(u) / d)
/// State: row_var [.., R, 1] and col_var [.., 1, C], or variance. UserError: beta2_decay positive, d below 1, another
/// setting negative.
Optimizer adafactor(const AdafactorConfig& config = {}, std::source_location where = std::source_location::current());

}  // namespace weft
