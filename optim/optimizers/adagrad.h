// Adagrad: each element has a rate that falls with the sum of its squared gradients.
#pragma once

#include <weft/optim/optimizer.h>

#include <source_location>

namespace weft {

struct AdagradConfig {
  Schedule rate = 1e-2;
  double lr_decay = 0;
  double weight_decay = 0;  ///< an L2 penalty: decay * p is added to the gradient
  double initial_accumulator_value = 0;
  double eps = 1e-10;
  bool maximize = false;  ///< gradient ascent
  int decay_rank = 0;     ///< tensors of fewer axes do not decay
  std::vector<ParameterGroup> groups = {};
};

/// torch.optim.Adagrad (Duchi et al. 2011):
///   g <- g + decay p;  s <- s + g^2;  p <- p - rate / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)
/// State: sum, which starts at initial_accumulator_value. UserError: a setting that is negative.
Optimizer adagrad(const AdagradConfig& config = {}, std::source_location where = std::source_location::current());

}  // namespace weft
