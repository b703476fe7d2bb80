// Cross entropy of logits against class indices or probabilities, as torch.nn.functional.cross_entropy. The room
// ops/loss/ holds this loss and, in loss.h, all others.
#pragma once

#include <weft/graph/graph.h>
#include <weft/graph/step.h>

namespace weft {

struct CrossEntropyOptions {
  std::int64_t ignore_index = -100;  ///< targets of this value add neither loss nor weight
  double label_smoothing = 0;        ///< in [0, 1]
  Value class_weights = {};          ///< [C], of the loss's dtype (f32, or f64 for f64 logits)
  int class_axis = -1;               ///< where the classes lie in the logits
};

/// logits [.., C], targets [..] of i32 or i64. With p = softmax(logits), weights w (1 if absent), smoothing e:
///   losses[i] = -(1 - e) w[t_i] log p[i, t_i] - (e / C) sum_c w[c] log p[i, c]     (0 where t_i is ignored)
///   sum = sum of losses, weight = sum of w[t_i] over those that count; the mean is their quotient.
/// A target outside [0, C) that is not ignored is a UserError of the run that names it and its place.
Loss cross_entropy(const Arg& logits, const Arg& targets, const CrossEntropyOptions& options = {});

/// The loss of each target ([..]), as reduction='none'.
Value token_losses(const Arg& logits, const Arg& targets, const CrossEntropyOptions& options = {});

/// All results: scalars sum and weight, losses [..] and logsumexp [..] of the logits; f64 for f64 logits, else f32.
struct CrossEntropy {
  Value sum, weight, losses, logsumexp;
};
CrossEntropy cross_entropy_terms(const Arg& logits, const Arg& targets, const CrossEntropyOptions& options = {});

/// Against probabilities [.., C] of the logits' type: losses[i] = -sum_c q[i, c] log p[i, c] with q = (1 - e)
/// probabilities + e / C; weight = the number of rows. logits and probabilities are both differentiated. ignore_index
/// has no effect.
Loss soft_cross_entropy(const Arg& logits, const Arg& probabilities, const CrossEntropyOptions& options = {});

const OpDef& cross_entropy_op();
const OpDef& cross_entropy_backward_op();
void register_cross_entropy();

}  // namespace weft
