// Stochastic gradient descent with momentum.
#pragma once

#include <weft/optim/optimizer.h>

#include <source_location>

namespace weft {

struct SgdConfig {
  Schedule rate = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;  ///< an L2 penalty: decay * p is added to the gradient
  bool nesterov = false;
  bool maximize = false;  ///< gradient ascent
  int decay_rank = 0;     ///< tensors of fewer axes do not decay
  std::vector<ParameterGroup> groups = {};
};

/// torch.optim.SGD:
///   g <- g + decay p;  b <- momentum b + (1 - dampening) g, but b <- g at the first update
///   p <- p - rate (nesterov ? g + momentum b : b), or rate g without momentum
/// State: momentum_buffer, if momentum > 0. UserError: a setting that is negative; nesterov without momentum or with
/// dampening.
Optimizer sgd(const SgdConfig& config = {}, std::source_location where = std::source_location::current());

}  // namespace weft
