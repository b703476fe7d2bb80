// Scaled dot-product attention (Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1), block-wise: no buffer
// grows with time_q x time_k, forward or backward. The room ops/attention/ holds attention with its kernels, patterns
// of pairs (pairs.h), score modifiers (score_modifiers.h), positions (positions.h, relative_positions.h), the append of
// a key-value cache (cache.h), gates of heads (gate.h) and statistics of heads (head_statistics.h).
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

/// The indices of a score, i64, which broadcast to [batch, heads, time_q, time_k].
struct AttentionPlace {
  Value batch;     ///< [batch, 1, 1, 1]: the example, within its micro-batch
  Value head;      ///< [heads, 1, 1]
  Value query;     ///< [time_q, 1]
  Value key;       ///< [time_k]
  Value position;  ///< [batch, 1, time_q, 1]: the query's position among the keys: query + offset, or query + start

  /// x at each score's query, for x [batch, time_q] or [time_q]; and at its key, for x [batch, time_k] or [time_k]. x
  /// is of the graph that calls attention().
  Value at_query(const Arg& x) const;
  Value at_key(const Arg& x) const;
};
/// What a score modifier is given.
struct AttentionScore : AttentionPlace {
  /// [batch, heads, time_q, time_k], f32 (f64 of f64): after scale, clip and soft cap, before bias and masks
  Value score;
};
/// ScoreModifier: a new score from a score. PairPattern: whether a query may attend to a key (bool). Both are pointwise
/// functions of what they are given, of values that broadcast to [batch, heads, time_q, time_k], and of tables:
/// take(table, ids) with ids computed from the indices. They run inside the block-wise kernel, for all pairs of a
/// block, also masked ones. Values that a modifier reads get their gradients.
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
  /// Only these pairs exist, in addition to the rules above (ops/attention/pairs.h has the usual patterns). A pattern
  /// that reads indices alone skips whole blocks (pair_report()).
  PairPattern pairs = {};
  /// In (0, 1): of a query's n unmasked scores only the highest floor(keep_share n) stay, at least one; of equal scores
  /// those of lower keys. Runs as the plain definition. 0: all stay.
  double keep_share = 0;
  /// Added to the scores; of q's dtype, broadcast to [batch, heads, time_q, time_k]; differentiated.
  Value bias = {};
  /// bool, true: may attend; broadcast to [batch, heads, time_q, time_k].
  Value mask = {};
  /// i32 or i64, [batch] or []: example b has keys j < lengths[b] only. Read when the program runs.
  Value lengths = {};
  /// i32 or i64, [batch] or []: replaces `offset`, read when the program runs (the length of a cache).
  Value start = {};
  /// 1 / sqrt(width) if not given; > 0.
  std::optional<double> scale = {};
  double temperature = 1;
  /// > 0: s becomes soft_cap tanh(s / soft_cap) (Gemma team 2024, "Gemma 2", section 2).
  double soft_cap = 0;
  /// > 0: s is limited to [-clip, clip].
  double clip = 0;
  /// The score of masked pairs. -inf: a query without keys gives zeros, with zero gradients. A finite fill follows the
  /// softmax formula as it is, and runs as the plain definition.
  double fill = -std::numeric_limits<double>::infinity();
  /// Attention weights are dropped with this probability and the others divided by 1 - dropout; only in training.
  double dropout = 0;
  /// Random stream of the dropout: row (batch heads + head) time_q + query of the full batch, column key. A fresh one
  /// if not given.
  std::optional<std::int64_t> stream = {};
  /// Applied to each score after scale, clip and soft cap, before bias and masks.
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

/// The same weights of an attention that was already built: `y` is an output of attention(), run block-wise. UserError:
/// it is not.
Value attention_weights_of(const Value& y);

/// A mask [batch, 1, 1, time] for `AttentionOptions::mask` from tokens [batch, time]: true where token != pad_id.
Value padding_mask(const Arg& tokens, std::int64_t pad_id);

const OpDef& attention_op();
const OpDef& attention_backward_op();
void register_attention();

}  // namespace weft
