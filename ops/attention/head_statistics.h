// Statistics of the attention weights of each head (entropy, sparsity, patterns, diversity), built from basic ops.
//
// A query counts only if it sees at least two keys: one that sees a single key has a weight of 1 whatever was learned,
// and one that sees none has no weights. Masked pairs do not exist: they are neither sparse nor part of a pattern.
#pragma once

#include <weft/graph/graph.h>

#include <array>
#include <cstdint>

namespace weft {

/// The weights p of an attention before dropout, and where they lie.
struct HeadWeights {
  Value weights;   ///< [batch, heads, time_q, time_k], f32 or f64
  Value visible;   ///< bool, broadcast to it: the pairs that exist; absent: all
  Value position;  ///< i64, broadcast to [batch, 1, time_q, 1]: each query's place among the keys; absent: its index
};

/// The weights of an attention that was already built (ops/attention/attention.h: attention_weights_of()). Its options
/// causal, window, offset or start, lengths and mask say which pairs exist; a bias of -10^4 or less counts as a mask.
/// With other rules, a pair exists if its weight is above 0 when all products of queries and keys are 0. Takes a buffer
/// of [batch, heads, time_q, time_k]. UserError: `y` is no output of an attention that runs block-wise.
HeadWeights head_weights(const Value& y);

/// A mean as two sums over the examples, so that the sums of several batches can be added before the division.
struct HeadMean {
  Value sum, count;
  /// sum / count; NaN where nothing counts.
  Value value() const;
};

/// [heads]: -sum_j p_j ln p_j, in nats, mean over the queries that count. 0: one key has all; ln n: n keys alike.
HeadMean head_entropy(const HeadWeights& of);
/// [heads]: share of the pairs of counted queries whose weight is less than `below`.
HeadMean head_sparsity(const HeadWeights& of, double below = 1e-3);
/// [heads]: the largest weight of a query, mean over the queries that count.
HeadMean head_peak(const HeadWeights& of);
/// [batch, heads]: the largest weight of all counted queries of an example; 0 where none counts.
Value head_maximum(const HeadWeights& of);

/// Patterns that heads are known to learn (Clark et al. 2019, "What Does BERT Look At?", section 3; Voita et al. 2019,
/// "Analyzing Multi-Head Self-Attention", section 5).
enum class HeadPattern : std::uint8_t { diagonal, previous, first, block, uniform };
inline constexpr std::array<HeadPattern, 5> head_patterns{HeadPattern::diagonal, HeadPattern::previous,
                                                          HeadPattern::first, HeadPattern::block, HeadPattern::uniform};
const char* name_of(HeadPattern pattern);

/// The share of a query's weight that lies on a pattern, mean over the queries that count and see a key of the pattern;
/// i is the query's position, n the number of keys that it sees:
///   diagonal  p at key i           previous  p at key i - 1          first  p at key 0
///   block     sum of p over keys j with floor(j / width) = floor(i / width)
///   uniform   sum_j min(p_j, 1 / n): the mass that lies as in a uniform row, 1 - their total variation distance
/// `chance` is the share of a uniform row (for uniform: 1 / n, that of a row with all weight on one key).
struct PatternShare {
  HeadMean share, chance;  ///< [heads]
};
PatternShare head_pattern(const HeadWeights& of, HeadPattern pattern, std::int64_t block_width = 16);

/// A scalar: how much the heads differ, the Jensen-Shannon divergence of a query's rows in all heads (Lin 1991,
/// "Divergence Measures Based on the Shannon Entropy", equation 5.1, equal weights): H(mean_h p_h) - mean_h H(p_h) over
/// ln min(heads, keys), mean over the queries that count in every head. 0: all heads alike; 1: no two share a key.
/// UserError: one head.
HeadMean head_diversity(const HeadWeights& of);

}  // namespace weft
