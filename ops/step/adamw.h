// One step of Adam with decoupled weight decay, as one op a tensor.
#pragma once

#include <weft/graph/graph.h>

namespace weft {

struct AdamwOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
};

struct AdamwResult {
  Value parameter, exp_avg, exp_avg_sq;
};

/// Loshchilov & Hutter 2019, algorithm 2, in the form of torch.optim.AdamW: with t = updates + 1,
///   p <- p (1 - rate decay);  m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
///   p <- p - rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
/// parameter, gradient, exp_avg, exp_avg_sq: one type; rate: f64 scalar; updates: i64 scalar; finite: bool scalar,
/// where false all three come back as they were. Runs in place where the three are states that nobody reads later.
AdamwResult adamw_update(const Arg& parameter, const Arg& gradient, const Arg& exp_avg, const Arg& exp_avg_sq,
                         const Arg& rate, const Arg& updates, const Arg& finite, const AdamwOptions& options = {});

const OpDef& adamw_op();
void register_adamw();

}  // namespace weft
