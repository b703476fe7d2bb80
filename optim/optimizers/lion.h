// Lion: steps by the sign of an interpolated momentum.
#pragma once

#include <weft/optim/optimizer.h>

#include <source_location>

namespace weft {

struct LionConfig {
  Schedule rate = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;  ///< decoupled: p is shrunk
  bool maximize = false;    ///< gradient ascent
  int decay_rank = 0;       ///< tensors of fewer axes do not decay
  std::vector<ParameterGroup> groups = {};
};

/// Chen et al. 2023, algorithm 2:
///   p <- p - rate (sign(beta1 m + (1 - beta1) g) + decay p);  m <- beta2 m + (1 - beta2) g
/// State: exp_avg. UserError: betas outside [0, 1), decay negative.
Optimizer lion(const LionConfig& config = {}, std::source_location where = std::source_location::current());

}  // namespace weft
