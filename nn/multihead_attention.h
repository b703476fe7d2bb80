// PyTorch's multi-head attention: torch.nn.MultiheadAttention with batch_first=True, with its parameter names ('/' for
// '.').
#pragma once

#include <weft/nn/attention.h>

#include <source_location>
#include <string>
#include <vector>

namespace weft::nn {

struct MultiheadOptions {
  /// [batch, time_k]. bool: true says that the key MAY be attended to, where PyTorch's true says that it is ignored. A
  /// floating type: added to the key's scores, as PyTorch's.
  Value key_padding_mask = {};
  /// Broadcast to [batch, heads, time_q, time_k], or PyTorch's [batch heads, time_q, time_k]. bool: true says MAY
  /// attend, where PyTorch's true forbids. A floating type: added to the scores, and differentiated.
  Value attn_mask = {};
  bool causal = false;
  /// Further options of attention(); its bias and mask are combined with the two above.
  AttentionOptions attention = {};
};

/// Parameters, where key_width and value_width equal width (E):
///   NAME/in_proj_weight [heads head_width + kv_heads (head_width + value_head_width), E]: queries, keys, values; [3 E,
///   E] as PyTorch's if there are as many kv_heads as heads, each E / heads wide
/// else NAME/q_proj_weight, NAME/k_proj_weight [.., key_width], NAME/v_proj_weight [.., value_width]; and
///   NAME/in_proj_bias, NAME/out_proj/weight [E, heads value_head_width], NAME/out_proj/bias, NAME/bias_k, NAME/bias_v.
/// Weights of the projections start by Xavier's uniform rule over the whole packed matrix, biases at zero, bias_k and
/// bias_v by Xavier's normal rule, out_proj/weight as nn/linear.h says: all as PyTorch's.
///
///   nn::MultiheadAttention attention(graph, "self_attn", {.width = 512, .heads = 8, .dropout = 0.1});
///   Value y = attention(x, {.causal = true});
///   auto [z, weights] = attention.with_weights(x, memory, memory, {.key_padding_mask = padding});
struct MultiheadAttention : AttentionCore {
  Value in_proj_weight;                               ///< absent if the widths differ
  Value q_proj_weight, k_proj_weight, v_proj_weight;  ///< absent if the widths are equal
  Value in_proj_bias;                                 ///< absent without bias

  MultiheadAttention() = default;
  MultiheadAttention(Graph graph, std::string path, const AttentionConfig& config,
                     std::source_location where = std::source_location::current());

  /// q [batch, time_q, width], k [batch, time_k, key_width], v [batch, time_k, value_width]. If all three are one x: a
  /// single matrix product.
  AttentionHeads project(const Arg& q, const Arg& k, const Arg& v) const;
  AttentionHeads project(const Arg& x) const { return project(x, x, x); }
  /// The projection of one side alone: heads.q, or heads.k and heads.v.
  Value project_queries(const Arg& q) const;
  AttentionHeads project_memory(const Arg& k, const Arg& v) const;

  /// -> [batch, time_q, width]
  Value operator()(const Arg& q, const Arg& k, const Arg& v, const MultiheadOptions& options = {}) const;
  /// Self-attention of x.
  Value operator()(const Arg& x, const MultiheadOptions& options = {}) const { return (*this)(x, x, x, options); }
  /// Causal attention of x, the next tokens, to the tokens in the cache and to itself.
  Value operator()(const Arg& x, KeyValueCache& cache, const AttentionOptions& call = {}) const {
    return attend(project(x), cache, call, x.where());
  }
  /// {y, weights of each head}: torch's need_weights with average_attn_weights = false.
  AttentionResult with_weights(const Arg& q, const Arg& k, const Arg& v, const MultiheadOptions& options = {}) const;

  /// The options in the form that attend() takes.
  AttentionOptions masked(const MultiheadOptions& options, const AttentionHeads& heads,
                          std::source_location where = std::source_location::current()) const;

 private:
  AttentionHeads heads_of(const Value& q, const Value& k, const Value& v) const;
  std::vector<std::int64_t> rows() const { return {config.q_rows(), config.k_rows(), config.v_rows()}; }
};

}  // namespace weft::nn
