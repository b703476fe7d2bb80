// Learned relative positions, built from graph ops: what the distance of query and key adds to the scores (for
// AttentionOptions::bias) and to attention's result (Shaw et al. 2018; DeBERTa). Distances count from the position of
// the query, which a cache's length moves (PositionOffset).
#pragma once

#include <weft/graph/graph.h>
#include <weft/ops/attention/positions.h>

#include <cstdint>
#include <optional>
#include <source_location>

namespace weft {

/// The row of key j's distance from query i in a table of relative positions, clip(j - i - offset, -k, k) + k for a
/// largest distance of k: i64 [time_q, time_k], or [batch, time_q, time_k] if `from.start` is [batch]. Shaw et al.
/// 2018, "Self-Attention with Relative Position Representations", section 3.2.
Value relative_position_ids(Graph graph, Dim time_q, Dim time_k, std::int64_t max_distance,
                            const PositionOffset& from = {},
                            std::source_location where = std::source_location::current());

/// y[b, h, i, j] = scores[b, h, i, ids[i, j]]: scores [batch, heads, rows, n], ids [rows, columns] or [batch, rows,
/// columns].
Value pick_relative(const Arg& scores, const Value& ids);

struct RelativeOptions {
  std::int64_t max_distance = 0;     ///< k >= 0
  std::optional<double> scale = {};  ///< 1 / sqrt(width) if not given: the scores' own
  PositionOffset from = {};
};
/// The scores of vectors a_ij that are added to the keys (Shaw et al. 2018, eq. 4): scale <q_i, a_ij>, a_ij being the
/// table's row of key j's distance. q [batch, time_q, heads, width], table [2 k + 1, width], or [2 k + 1, heads,
/// width]: each head's own. [batch, heads, time_q, time_k]. UserError: a table of other extents; both lengths are
/// named.
Value relative_key_scores(const Arg& q, const Arg& table, Dim time_k, const RelativeOptions& options);

/// The result of vectors a_ij that are added to the values (eq. 3): sum_j p_ij a_ij. weights p [batch, heads, time_q,
/// time_k] (attention_weights), table as above, of the values' width. [batch, time_q, heads, width]; `scale` is not
/// used.
Value relative_values(const Arg& weights, const Arg& table, const RelativeOptions& options);

struct DisentangledOptions {
  std::int64_t max_distance = 0;  ///< k >= 1
  PositionOffset from = {};
};
/// DeBERTa's two terms of content and position (He et al. 2021, "DeBERTa", section 3.1, eq. 3 and 4): scale (<q_i,
/// position_keys[d(i, j)]> + <k_j, position_queries[d(j, i)]>), where d(i, j) = min(max(i + k - j, 0), 2 k - 1). q
/// [batch, time_q, heads, width], k [batch, time_k, heads, width], tables [2 k, heads, width]: projections of one table
/// of positions; an absent one leaves out its term. scale = disentangled_scale(width, terms), to be given to
/// attention() too:
///
///   attention(q, k, v, {.bias = disentangled_scores(q, k, p_k, p_q, {.max_distance = 128}),
///                       .scale = disentangled_scale(width)})
Value disentangled_scores(const Arg& q, const Arg& k, const Value& position_keys, const Value& position_queries,
                          const DisentangledOptions& options);
/// 1 / sqrt((1 + terms) width): 1 / sqrt(3 d) with both terms.
double disentangled_scale(std::int64_t width, int terms = 2);

}  // namespace weft
