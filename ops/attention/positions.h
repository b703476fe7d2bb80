// Positions of tokens, built from graph ops: sinusoidal and rotary embeddings, and biases by the distance of query and
// key (ALiBi, T5). Angles are computed in f64 and rounded once.
#pragma once

#include <weft/graph/graph.h>

#include <cstdint>
#include <source_location>
#include <vector>

namespace weft {

/// Position of the first token: `offset`, plus `start` (i32 or i64, [] or [batch]) if given, which is read when the
/// program runs (the length of a key-value cache).
struct PositionOffset {
  std::int64_t offset = 0;
  Value start = {};
};

struct SinusoidalOptions {
  double base = 10000;  ///< > 1
  DType dtype = f32;    ///< floating
  PositionOffset from = {};
};
/// Vaswani et al. 2017, "Attention Is All You Need", section 3.5: element 2i of position p is sin(p / base^(2i /
/// width)), element 2i + 1 the cosine. [time, width]; [batch, time, width] if `from.start` is [batch]. UserError: an
/// odd width.
Value sinusoidal_positions(Graph graph, Dim time, std::int64_t width, const SinusoidalOptions& options = {},
                           std::source_location where = std::source_location::current());

struct RotaryOptions {
  std::int64_t width = 0;  ///< how many of a head's first elements are rotated, even; 0: all
  double base = 10000;     ///< > 1
  /// Pairs are elements 2i and 2i + 1 (RoFormer, GPT-J), not i and i + width / 2 (GPT-NeoX, Llama).
  bool interleaved = false;
  PositionOffset from = {};
};
/// Rotary position embedding (Su et al. 2021, "RoFormer", eq. 34) of queries or keys x [batch, time, heads, width]:
/// pair i of position p is turned by p / base^(2i / width). Scores then depend on distances only.
Value rotary(const Arg& x, const RotaryOptions& options = {});

/// Slopes of ALiBi for each head: 2^(-8 h / heads), h = 1, 2, ...; where heads is no power of two, those of the next
/// lower one and every other of twice that (Press et al. 2022, "Train Short, Test Long", section 3).
std::vector<double> alibi_slopes(std::int64_t heads);
/// -slope |i + offset - j| for query i and key j: [heads, time_q, time_k], [batch, heads, time_q, time_k] if
/// `from.start` is [batch]. For AttentionOptions::bias.
Value alibi_bias(Graph graph, std::int64_t heads, Dim time_q, Dim time_k, const PositionOffset& from = {},
                 DType dtype = f32, std::source_location where = std::source_location::current());

struct RelativeBucketOptions {
  std::int64_t buckets = 32;        ///< even if both directions
  std::int64_t max_distance = 128;  ///< from here on all share the last bucket
  bool bidirectional = true;        ///< keys after the query have the upper half of the buckets; else all have bucket 0
};
/// Bucket of each key's position relative to the query, key - query = -max_distance, ..., max_distance: small distances
/// have one each, larger ones share them logarithmically (Raffel et al. 2020, "T5", section 2.1).
std::vector<std::int64_t> relative_buckets(const RelativeBucketOptions& options = {});
/// The buckets of query i and key j, i64: [time_q, time_k], or [batch, time_q, time_k] if `from.start` is [batch].
Value relative_bucket_ids(Graph graph, Dim time_q, Dim time_k, const RelativeBucketOptions& options = {},
                          const PositionOffset& from = {},
                          std::source_location where = std::source_location::current());

/// offset + 0, 1, ..., time - 1 in `dtype`: [time], or [batch, time] if `from.start` is [batch].
Value position_ids(Graph graph, Dim time, DType dtype, const PositionOffset& from = {},
                   std::source_location where = std::source_location::current());

}  // namespace weft
