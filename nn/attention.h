// Attention with its projections, as torch.nn.MultiheadAttention with batch_first, but with a weight for each projection.
#pragma once

#include <weft/nn/linear.h>
#include <weft/ops/attention.h>

#include <optional>
#include <source_location>
#include <string>

namespace weft::nn {

struct MultiheadAttentionConfig {
  std::int64_t width = 0;        ///< of the queries and of the result
  std::int64_t heads = 1;
  std::int64_t kv_heads = 0;     ///< 0: heads; fewer, dividing heads: grouped queries
  std::int64_t key_width = 0;    ///< of the keys' input; 0: width
  std::int64_t value_width = 0;  ///< of the values' input; 0: width
  bool bias = true;
  double dropout = 0;            ///< of the attention weights, while training
  DType dtype = f32;
  std::optional<Initializer> init = {};      ///< of the weights (nn/linear.h)
  std::optional<Initializer> out_init = {};  ///< of the last projection's weight; init if not given
};

/// Parameters NAME/{query,key,value,out}/{weight,bias}.
struct MultiheadAttention {
  std::string name;
  std::int64_t heads = 1, kv_heads = 1, head_width = 0;
  double dropout = 0;
  Linear query, key, value, out;

  MultiheadAttention() = default;
  MultiheadAttention(Graph graph, std::string path, const MultiheadAttentionConfig& config,
                     std::source_location where = std::source_location::current());

  /// q [batch, time_q, width], k [batch, time_k, key_width], v [batch, time_k, value_width] -> [batch, time_q, width].
  /// Masks, bias, windows and the rest are `options`, whose dropout is the module's.
  Value operator()(const Arg& q, const Arg& k, const Arg& v, AttentionOptions options = {}) const;
  /// Of x to itself.
  Value operator()(const Arg& x, AttentionOptions options = {}) const { return (*this)(x, x, x, std::move(options)); }
};

/// Each place sees itself and what came before: x [batch, time, width] -> the same.
struct CausalSelfAttention : MultiheadAttention {
  using MultiheadAttention::MultiheadAttention;
  Value operator()(const Arg& x) const { return MultiheadAttention::operator()(x, {.causal = true}); }
};

}  // namespace weft::nn
