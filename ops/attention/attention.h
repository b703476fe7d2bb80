// Scaled dot-product attention (Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1), block-wise: no buffer
// grows with time_q x time_k, forward or backward.
//
// Layout: q [batch, time_q, heads, width], k [batch, time_k, kv_heads, width], v [batch, time_k, kv_heads,
// value_width]; so a model writes q = reshape(matmul(x, w), {batch, time, heads, width}) and transposes nothing. Head h
// reads kv head h / (heads / kv_heads) (Ainslie et al. 2023, "GQA").
#pragma once

#include <weft/graph/graph.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>

namespace weft {

/// Where a score stands: i64 indices that broadcast to [batch, heads, time_q, time_k].
struct AttentionPlace {
  Value batch;     ///< [batch, 1, 1, 1]: the example, within its micro-batch
  Value head;      ///< [heads, 1, 1]
  Value query;     ///< [time_q, 1]
  Value key;       ///< [time_k]
  Value position;  ///< [batch, 1, time_q, 1]: of the query among the keys: query + offset, or + start

  /// x [batch, time_q] or [time_q], of the graph that calls attention(), for each query; and x [batch, time_k] or
  /// [time_k] for each key.
  Value at_query(const Arg& x) const;
  Value at_key(const Arg& x) const;
};
/// What a score modifier works with.
struct AttentionScore : AttentionPlace {
  /// [batch, heads, time_q, time_k], f32 (f64 of f64): after scale, clip and soft cap, before bias and masks
  Value score;
};
/// Another score from a score, and whether a pair exists (bool). Pointwise functions of what they are given, of values
/// that broadcast to [batch, heads, time_q, time_k] and of tables: take(table, ids) with ids made from indices. They
/// run inside the block-wise kernel, for all pairs of a block, also those that do not exist. What a modifier reads gets
/// its gradient.
using ScoreModifier = std::function<Value(const AttentionScore&)>;
struct PairPattern : std::function<Value(const AttentionPlace&)> {
  using std::function<Value(const AttentionPlace&)>::function;
};

/// How attention is computed: block by block, or by its definition in basic ops with a buffer of all scores.
enum class AttentionMethod : std::uint8_t { block_wise, plain };

/// The score of query i and key j is s = scale <q_i, k_j> / temperature, then clip, soft cap, `score`, + bias, masks.
struct AttentionOptions {
  /// Query i sees keys j <= i + offset.
  bool causal = false;
  /// Position of the first query among the keys; time_k - time_q if not given: the last query sees every key.
  std::optional<std::int64_t> offset = {};
  /// > 0: query i at p = i + offset sees key j iff some m has both p and j in [m window_stride, m window_stride +
  /// window); with stride 1, |p - j| < window. The cost is linear in time.
  std::int64_t window = 0, window_stride = 1;
  /// Which pairs exist besides (ops/attention/pairs.h has the usual ones). One that reads indices alone leaves out
  /// whole blocks (pair_report()).
  PairPattern pairs = {};
  /// In (0, 1): of each query's scores that the masks admit only the highest floor(share n) stay, at least one; of
  /// equal ones those of lower keys. Runs as the plain definition.
  double keep_share = 0;
  /// Added to the scores; of q's dtype, broadcast to [batch, heads, time_q, time_k]; differentiated.
  Value bias = {};
  /// bool, true: may attend; broadcast to [batch, heads, time_q, time_k].
  Value mask = {};
  /// i32 or i64, [batch] or []: example b has keys j < lengths[b] only. Read when the program runs.
  Value lengths = {};
  /// i32 or i64, [batch] or []: the offset, read when the program runs (the length of a cache).
  Value start = {};
  /// 1 / sqrt(width) if not given; > 0.
  std::optional<double> scale = {};
  double temperature = 1;
  /// > 0: s becomes soft_cap tanh(s / soft_cap) (Gemma team 2024, "Gemma 2", section 2).
  double soft_cap = 0;
  /// > 0: s is limited to [-clip, clip].
  double clip = 0;
  /// Score of what the masks forbid. -inf: a query without keys gives zeros, with zero gradients. A finite fill
  /// follows the plain formula, and runs as the plain definition.
  double fill = -std::numeric_limits<double>::infinity();
  /// Weights are dropped with this probability and the rest divided by 1 - dropout; only while training.
  double dropout = 0;
  /// Random stream of the dropout: row (batch heads + head) time_q + query of the full batch, column key. A fresh one
  /// if not given.
  std::optional<std::int64_t> stream = {};
  ScoreModifier score = {};
  AttentionMethod method = AttentionMethod::block_wise;
  /// Queries (a multiple of 16, at most 480) and keys (at most 4096) of a tile of the block-wise kernels; 0: automatic.
  std::int64_t block_queries = 0, block_keys = 0;
};

/// y [batch, time_q, heads, value_width] = softmax(s) v over the keys.
Value attention(const Arg& q, const Arg& k, const Arg& v, const AttentionOptions& options = {});

/// {y, logsumexp}: logsumexp [batch, heads, time_q], f32 (f64 for f64), is log(sum_j exp(s_ij)); -inf without keys.
Values attention_outputs(const Arg& q, const Arg& k, const Arg& v, const AttentionOptions& options = {});

/// The weights softmax(s) [batch, heads, time_q, time_k], before dropout. A buffer of that size, unlike attention().
Value attention_weights(const Arg& q, const Arg& k, const AttentionOptions& options = {});

/// The same of an attention that is built: `y` is an output of attention() that runs block-wise. UserError: it is not.
Value attention_weights_of(const Value& y);

/// A mask [batch, 1, 1, time] for `AttentionOptions::mask` from tokens [batch, time]: true where token != pad_id.
Value padding_mask(const Arg& tokens, std::int64_t pad_id);

const OpDef& attention_op();
const OpDef& attention_backward_op();
void register_attention();

}  // namespace weft
