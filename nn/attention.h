// Attention modules: their configuration, the part between and after the projections that all of them share
// (AttentionCore), and nn::Attention, with one weight for each projection. nn/multihead_attention.h has PyTorch's
// module, with PyTorch's parameter names.
#pragma once

#include <weft/nn/linear.h>
#include <weft/ops/attention/attention.h>

#include <optional>
#include <source_location>
#include <string>

namespace weft::nn {

struct KeyValueCache;  // nn/key_value_cache.h

struct AttentionConfig {
  std::int64_t width = 0;  ///< of the queries' input and of the result
  std::int64_t heads = 1;
  std::int64_t kv_heads = 0;                ///< 0: heads; a divisor of heads: grouped-query; 1: multi-query
  std::int64_t key_width = 0;               ///< of the keys' input; 0: width
  std::int64_t value_width = 0;             ///< of the values' input; 0: width
  std::int64_t head_width = 0;              ///< of a head's queries and keys; 0: width / heads
  std::int64_t value_head_width = 0;        ///< of a head's values; 0: head_width
  bool bias = true;                         ///< of all four projections
  bool add_bias_kv = false;                 ///< one more key and value, learned, at the end of every sequence
  bool add_zero_attn = false;               ///< one more key and value of zeros, after that
  double dropout = 0;                       ///< of the attention weights, while training
  double out_dropout = 0;                   ///< of the result, while training
  double temperature = 1;                   ///< scores are divided by it; > 0
  bool causal = false;                      ///< each position attends to itself and earlier ones
  std::optional<std::int64_t> window = {};  ///< attends to keys with |i - j| < window; >= 1
  DType dtype = f32;
  std::optional<Initializer> init = {};      ///< of the weights; the default is the module's
  std::optional<Initializer> out_init = {};  ///< of the last projection's weight; init if not given

  /// The same with its defaults filled in. UserError if the numbers do not fit together.
  AttentionConfig checked(const std::string& name, std::source_location where) const;
  // Widths after the projections; for a configuration with its defaults filled in.
  std::int64_t q_rows() const { return heads * head_width; }
  std::int64_t k_rows() const { return kv_heads * head_width; }
  std::int64_t v_rows() const { return kv_heads * value_head_width; }
};

/// After the projections: q [batch, time_q, heads, head_width], k [batch, time_k, kv_heads, head_width], v [batch,
/// time_k, kv_heads, value_head_width]. Rotary embeddings, caches, and biases computed from q or k are applied here,
/// before attend().
struct AttentionHeads {
  Value q, k, v;
};

/// y [batch, time_q, width] and, before dropout, the weights of each head [batch, heads, time_q, time_k].
struct AttentionResult {
  Value y, weights;
};

/// What follows the projections of queries, keys and values.
struct AttentionCore {
  std::string name;
  AttentionConfig config;  ///< with its defaults filled in
  Linear out;              ///< [width, heads value_head_width]
  Value bias_k, bias_v;    ///< if add_bias_kv: [1, 1, kv_heads head_width] and [1, 1, kv_heads value_head_width]

  /// A call's options combined with the module's: causal if either asks for it, temperatures multiply, a call's window
  /// replaces the module's, dropout is the module's. UserError: options that depend on positions (causal, window,
  /// lengths, start) together with keys that have none (add_bias_kv, add_zero_attn).
  AttentionOptions options(AttentionOptions call = {},
                           std::source_location where = std::source_location::current()) const;
  /// Attention, concatenated heads, output projection, dropout. `call` is as for attention().
  Value attend(const AttentionHeads& heads, const AttentionOptions& call = {},
               std::source_location where = std::source_location::current()) const;
  /// The same, and the weights: a buffer of batch x heads x time_q x time_k.
  AttentionResult attend_with_weights(const AttentionHeads& heads, const AttentionOptions& call = {},
                                      std::source_location where = std::source_location::current()) const;
  /// Appends heads.k and heads.v to the cache; heads.q then attends causally to all tokens that the cache holds.
  Value attend(const AttentionHeads& heads, KeyValueCache& cache, const AttentionOptions& call = {},
               std::source_location where = std::source_location::current()) const;
  /// q attends to the tokens that the cache holds, and nothing is appended: for a memory (of an encoder) whose keys and
  /// values are computed once.
  Value attend(const Value& q, const KeyValueCache& cache, const AttentionOptions& call = {},
               std::source_location where = std::source_location::current()) const;
  /// y [batch, time_q, heads, value_head_width], as attention() gives it -> [batch, time_q, width].
  Value output(const Value& y, std::source_location where = std::source_location::current()) const;

 protected:
  AttentionCore() = default;
  AttentionCore(Graph graph, std::string path, const AttentionConfig& config, const char* out_name,
                std::source_location where);
  /// [batch, time, count * n] -> [batch, time, count, n]
  static Value split_heads(const Value& x, std::int64_t count);

 private:
  struct Call {
    AttentionHeads heads;
    AttentionOptions options;
  };
  Call prepared(AttentionHeads heads, const AttentionOptions& call, std::source_location where) const;
  Value merged(const Value& y) const;
};

/// Parameters NAME/{query,key,value,out}/{weight,bias}; weights start as nn/linear.h says. With add_bias_kv also
/// NAME/{bias_k,bias_v}.
struct Attention : AttentionCore {
  Linear query, key, value;

  Attention() = default;
  Attention(Graph graph, std::string path, const AttentionConfig& config,
            std::source_location where = std::source_location::current());

  /// q [batch, time_q, width], k [batch, time_k, key_width], v [batch, time_k, value_width].
  AttentionHeads project(const Arg& q, const Arg& k, const Arg& v) const;
  AttentionHeads project(const Arg& x) const { return project(x, x, x); }
  /// The projection of one side alone: heads.q, or heads.k and heads.v.
  Value project_queries(const Arg& q) const;
  AttentionHeads project_memory(const Arg& k, const Arg& v) const;

  /// -> [batch, time_q, width]. `call` holds masks, bias and the other options (options()).
  Value operator()(const Arg& q, const Arg& k, const Arg& v, const AttentionOptions& call = {}) const {
    return attend(project(q, k, v), call, q.where());
  }
  /// Self-attention of x.
  Value operator()(const Arg& x, const AttentionOptions& call = {}) const { return (*this)(x, x, x, call); }
  /// Causal attention of x, the next tokens, to the tokens in the cache and to itself.
  Value operator()(const Arg& x, KeyValueCache& cache, const AttentionOptions& call = {}) const {
    return attend(project(x), cache, call, x.where());
  }
};

/// Self-attention in which each position attends to itself and earlier ones: x [batch, time, width] -> the same.
struct CausalSelfAttention : Attention {
  using Attention::Attention;
  Value operator()(const Arg& x) const { return Attention::operator()(x, {.causal = true}); }
};

}  // namespace weft::nn
