// Adam, and Adam with decoupled weight decay.
#pragma once

#include <weft/optim/optimizer.h>

#include <source_location>

namespace weft {

struct AdamConfig {
  Schedule rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;  ///< an L2 penalty: decay * p is added to the gradient
  bool amsgrad = false;
  bool maximize = false;  ///< gradient ascent
  int decay_rank = 0;     ///< tensors of fewer axes do not decay
  std::vector<ParameterGroup> groups = {};
};

/// torch.optim.Adam (Kingma & Ba 2015, algorithm 1; amsgrad: Reddi et al. 2018, algorithm 2):
///   g <- g + decay p;  m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
///   amsgrad: u <- max(u, v), else u = v;  p <- p - rate / (1 - beta1^t) m / (sqrt(u / (1 - beta2^t)) + eps)
/// t counts the updates of the whole store. State: exp_avg, exp_avg_sq, max_exp_avg_sq (amsgrad). UserError: betas
/// outside [0, 1), eps or decay negative.
Optimizer adam(const AdamConfig& config = {}, std::source_location where = std::source_location::current());

struct AdamwConfig {
  Schedule rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  /// Tensors of fewer axes do not decay (2: matrices and embeddings do, biases and norms do not; 0: all do, as in
  /// PyTorch). A group that names a weight_decay decides for its parameters.
  int decay_rank = 0;
  bool amsgrad = false;
  bool maximize = false;  ///< gradient ascent
  std::vector<ParameterGroup> groups = {};
};

/// torch.optim.AdamW (Loshchilov & Hutter 2019, algorithm 2): as adam(), with p <- p (1 - rate decay) instead of a
/// penalty in the gradient. One op per tensor (ops/step/adamw.h), unless amsgrad. State and errors as adam().
Optimizer adamw(const AdamwConfig& config = {}, std::source_location where = std::source_location::current());

}  // namespace weft
