// RMSprop: the gradient divided by the running root mean square of past gradients.
#pragma once

#include <weft/optim/optimizer.h>

#include <source_location>

namespace weft {

struct RmspropConfig {
  Schedule rate = 1e-2;
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0;  ///< an L2 penalty: decay * p is added to the gradient
  double momentum = 0;
  bool centered = false;  ///< divides by the running standard deviation instead
  bool maximize = false;  ///< gradient ascent
  int decay_rank = 0;     ///< tensors of fewer axes do not decay
  std::vector<ParameterGroup> groups = {};
};

/// torch.optim.RMSprop (Hinton 2012, lecture 6; centered: Graves 2013, eq. 38-45):
///   g <- g + decay p;  v <- alpha v + (1 - alpha) g^2
///   centered: a <- alpha a + (1 - alpha) g, d = sqrt(v - a^2) + eps, else d = sqrt(v) + eps
///   b <- momentum b + g / d;  p <- p - rate b
/// State: square_avg, grad_avg (centered), momentum_buffer (momentum > 0). UserError: alpha outside [0, 1), another
/// setting negative.
Optimizer rmsprop(const RmspropConfig& config = {}, std::source_location where = std::source_location::current());

}  // namespace weft
