// Loss functions with the names and definitions of torch.nn.functional (cross entropy: ops/loss/cross_entropy.h). A
// Loss is a sum and a weight, whose quotient is torch's reduction='mean'; the functions in the plural, *_losses, give
// the terms of the sum: reduction='none'.
//
//   Loss loss = mse_loss(model(x), y);
//   Loss masked = weighted_mean(huber_losses(model(x), y), mask);
//
// bf16 and f16 are widened to f32 first, so losses are f32, or f64 of f64. Input and target have one shape: a target
// that would broadcast is a UserError.
#pragma once

#include <weft/graph/graph.h>
#include <weft/graph/step.h>

namespace weft {

/// sum = sum_i w_i losses_i, weight = sum_i w_i; w broadcasts to the losses' shape (absent: 1).
Loss weighted_mean(const Arg& losses, const Value& weight = {});

struct ErrorLossOptions {
  Value weight = {};  ///< of each element; it enters the divisor, as in torch's mse_loss and l1_loss
};
struct HuberOptions {
  double delta = 1;   ///< above 0
  Value weight = {};  ///< factor of each element, broadcast; as in torch's huber_loss it does not enter the divisor
};
struct SmoothL1Options {
  double beta = 1;    ///< 0 (then it is l1) or above
  Value weight = {};  ///< as in HuberOptions
};

/// (input - target)^2
Loss mse_loss(const Arg& input, const Arg& target, const ErrorLossOptions& options = {});
Value mse_losses(const Arg& input, const Arg& target);
/// |input - target|; the derivative at 0 is 0.
Loss l1_loss(const Arg& input, const Arg& target, const ErrorLossOptions& options = {});
Value l1_losses(const Arg& input, const Arg& target);
/// With d = |input - target|: d^2 / 2 where d <= delta, else delta (d - delta / 2).
Loss huber_loss(const Arg& input, const Arg& target, const HuberOptions& options = {});
Value huber_losses(const Arg& input, const Arg& target, double delta = 1);
/// With d = |input - target|: d^2 / (2 beta) where d < beta, else d - beta / 2.
Loss smooth_l1_loss(const Arg& input, const Arg& target, const SmoothL1Options& options = {});
Value smooth_l1_losses(const Arg& input, const Arg& target, double beta = 1);

struct BceOptions {
  Value weight = {};      ///< factor of each element, broadcast; as in torch it does not enter the divisor
  Value pos_weight = {};  ///< factor of the positive part, broadcast (such as [classes])
};
/// -(pos_weight t log s(x) + (1 - t) log(1 - s(x))), s(x) = 1 / (1 + exp(-x)), without cancellation or overflow; the
/// weight is the number of elements. The target may be bool or of integers.
Loss binary_cross_entropy_with_logits(const Arg& input, const Arg& target, const BceOptions& options = {});
Value binary_cross_entropy_with_logits_losses(const Arg& input, const Arg& target, const BceOptions& options = {});

struct KlDivOptions {
  bool log_target = false;  ///< the target holds log p instead of p
};
/// Of distributions along the last axis, input = log q, target = p: sum_c p_c (log p_c - log q_c), where a term with
/// p_c = 0 is 0. The weight is the number of distributions (torch's reduction='batchmean' for [batch, classes]).
Loss kl_div(const Arg& input, const Arg& target, const KlDivOptions& options = {});
/// One for each distribution: [..] of [.., classes].
Value kl_div_losses(const Arg& input, const Arg& target, const KlDivOptions& options = {});

struct CosineSimilarityOptions {
  int axis = -1;
  double eps = 1e-8;  ///< lower bound of each norm
};
/// <a, b> / (max(|a|, eps) max(|b|, eps)) along an axis, which is removed.
Value cosine_similarity(const Arg& a, const Arg& b, const CosineSimilarityOptions& options = {});

struct CosineEmbeddingOptions {
  double margin = 0;
};
/// For rows a, b [.., width] and targets [..] of 1 or -1: 1 - cos(a, b) for 1, max(0, cos(a, b) - margin) for -1, with
/// torch's cos: <a, b> / sqrt((|a|^2 + 1e-12) (|b|^2 + 1e-12)). The weight is the number of rows.
Loss cosine_embedding_loss(const Arg& a, const Arg& b, const Arg& target, const CosineEmbeddingOptions& options = {});
Value cosine_embedding_losses(const Arg& a, const Arg& b, const Arg& target,
                              const CosineEmbeddingOptions& options = {});

struct NllOptions {
  std::int64_t ignore_index = -100;  ///< targets of this value add neither loss nor weight
  Value weight = {};                 ///< [C], of the loss's dtype
  int class_axis = -1;               ///< where the classes lie in the input
};
/// input [.., C] of log probabilities, targets [..] of i32 or i64: -w[t] input[.., t]; the weight is the sum of w[t]. A
/// target outside [0, C) that is not ignored is a UserError of the run that names it and its place.
Loss nll_loss(const Arg& input, const Arg& targets, const NllOptions& options = {});
Value nll_losses(const Arg& input, const Arg& targets, const NllOptions& options = {});

const OpDef& nll_loss_op();
void register_loss();

}  // namespace weft
