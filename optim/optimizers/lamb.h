// LAMB: Adam's direction, scaled to the norm of the layer's weights, for large batches.
#pragma once

#include <weft/optim/optimizer.h>

#include <limits>
#include <source_location>

namespace weft {

struct LambConfig {
  Schedule rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-6;
  double weight_decay = 0.01;
  /// Bounds of the norm of a layer's weights (the paper's gamma_l and gamma_u).
  double least_norm = 0, greatest_norm = std::numeric_limits<double>::infinity();
  bool maximize = false;  ///< gradient ascent
  int decay_rank = 0;     ///< tensors of fewer axes do not decay
  std::vector<ParameterGroup> groups = {};
};

/// You et al. 2020, algorithm 2, with phi(z) = min(max(z, least_norm), greatest_norm):
///   m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
///   u = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + decay p;  p <- p - rate phi(||p||) / ||u|| u
/// Where phi(||p||) or ||u|| is 0 their quotient counts as 1, as in the authors' code. State: exp_avg, exp_avg_sq.
/// UserError: betas outside [0, 1), another setting negative, least_norm above greatest_norm.
Optimizer lamb(const LambConfig& config = {}, std::source_location where = std::source_location::current());

}  // namespace weft
