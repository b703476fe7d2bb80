// Attention in basic ops: the definition of the block-wise kernels, their test oracle, and what runs where they do not
// serve an option. Everything here holds [batch, heads, time_q, time_k] scores.
#pragma once

#include <weft/ops/attention.h>

namespace weft {

/// Options as the nodes carry them.
struct AttentionLaw {
  double scale = 1, soft_cap = 0, clip = 0, dropout = 0;
  double fill = -std::numeric_limits<double>::infinity();
  bool causal = false;
  std::int64_t window = 0, offset = 0, stream = 0;
  ScoreModifier score = {};

  explicit AttentionLaw(const Attributes& attributes);
  AttentionLaw(const AttentionOptions& options, std::int64_t width, std::int64_t default_offset);
  /// What the fused op has attributes for.
  Attributes attributes() const;
  bool fused() const { return clip == 0 && !score && fill == -std::numeric_limits<double>::infinity(); }
};

/// Optional operands that shape the scores.
struct AttentionMasks {
  Value bias, mask, lengths, start;
};

/// softmax(s) before dropout, [batch, heads, time_q, time_k], f32 or f64; its logsumexp in `logsumexp` if not null.
Value plain_attention_weights(const Value& q, const Value& k, const AttentionMasks& masks, const AttentionLaw& law,
                              Value* logsumexp = nullptr);

/// {y, logsumexp}
Values plain_attention(const Value& q, const Value& k, const Value& v, const AttentionMasks& masks,
                       const AttentionLaw& law);

/// Operands of the backward: what the forward read and gave, and the cotangents (that of logsumexp may be absent).
struct AttentionCotangents {
  Value q, k, v;
  AttentionMasks masks;
  Value y, logsumexp, d_y, d_logsumexp;
};

/// {d_q, d_k, d_v}
Values plain_attention_backward(const AttentionCotangents& in, const AttentionLaw& law);

/// The gradient of the scores after the soft cap, [batch, heads, time_q, time_k]: that of a bias, before it is summed.
Value plain_attention_d_scores(const AttentionCotangents& in, const AttentionLaw& law);

}  // namespace weft
