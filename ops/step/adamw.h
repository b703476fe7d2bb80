// One update of Adam with decoupled weight decay (AdamW), as one op for each parameter.
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

/// Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2, in the form of torch.optim.AdamW:
/// with t = updates + 1,
///   p <- p (1 - rate decay);  m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
///   p <- p - rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
/// parameter p, gradient g, exp_avg m, exp_avg_sq v: one type; rate: f64 scalar; updates, the number of earlier
/// updates: i64 scalar; finite: bool scalar, if false p, m and v come back unchanged. In place if p, m and v are states
/// that nothing reads later.
AdamwResult adamw_update(const Arg& parameter, const Arg& gradient, const Arg& exp_avg, const Arg& exp_avg_sq,
                         const Arg& rate, const Arg& updates, const Arg& finite, const AdamwOptions& options = {});

const OpDef& adamw_op();
void register_adamw();

}  // namespace weft
