// Attention in basic ops: the definition of the block-wise kernels, their test oracle, and what runs for options that
// the kernels do not support. It stores all scores, [batch, heads, time_q, time_k]. Not in <weft/weft.h>.
#pragma once

#include <weft/ops/attention/attention.h>
#include <weft/ops/attention/score_function.h>
#include <weft/ops/attention/score_rule.h>

#include <limits>
#include <memory>

namespace weft {

/// Optional operands that shape the scores, and what the node's functions capture: the score's, then the pairs'.
struct AttentionMasks {
  Value bias, mask, lengths, start;
  Values captures = {};
};

/// Of a node's operands; captures begin at operand `first_capture`.
AttentionMasks attention_masks(const Values& in, int first_capture);

/// AttentionOptions in the form in which nodes carry them, and what nodes do not carry: it runs as the plain
/// definition.
struct AttentionLaw : ScoreRule {
  double clip = 0, keep_share = 0, fill = -std::numeric_limits<double>::infinity();
  bool plain = false;
  /// As the user gave them, for what is built from basic ops at once; and as data, in a node's attributes.
  ScoreModifier score = {};
  PairPattern pairs = {};
  std::shared_ptr<const ScoreFunction> score_data = {}, pairs_data = {}, derivative = {};
  bool d_bias = false;  ///< of a backward: whether the bias gets its gradient

  explicit AttentionLaw(const Attributes& attributes);
  AttentionLaw(const AttentionOptions& options, std::int64_t width, std::int64_t default_offset);
  /// What the fused op has attributes for.
  Attributes attributes() const;
  bool fused() const { return !plain && keep_share == 0 && fill == -std::numeric_limits<double>::infinity(); }
};

/// softmax(s) before dropout, [batch, heads, time_q, time_k], f32 or f64; its logsumexp in `top` and
/// `log_sum` if they are not null.
Value plain_attention_weights(const Value& q, const Value& k, const AttentionMasks& masks, const AttentionLaw& law,
                              Value* top = nullptr, Value* log_sum = nullptr);

/// {y, top, log_sum}
Values plain_attention(const Value& q, const Value& k, const Value& v, const AttentionMasks& masks,
                       const AttentionLaw& law);

/// Operands of the backward: what the forward read and gave, and the cotangents (that of logsumexp may be absent).
struct AttentionCotangents {
  Value q, k, v;
  AttentionMasks masks;
  Value y, top, log_sum, d_y, d_logsumexp;
};

/// {d_q, d_k, d_v}, then d_bias where the law says so and the gradients of captures that the derivative gives.
Values plain_attention_backward(const AttentionCotangents& in, const AttentionLaw& law);

}  // namespace weft
