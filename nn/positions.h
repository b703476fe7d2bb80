// Position modules: sinusoids or a learned table added to embeddings, and learned relative positions for the scores.
#pragma once

#include <weft/nn/dropout.h>
#include <weft/nn/embedding.h>
#include <weft/nn/linear.h>
#include <weft/ops/attention/attention.h>
#include <weft/ops/attention/positions.h>
#include <weft/ops/attention/relative_positions.h>

#include <source_location>
#include <string>

namespace weft::nn {

/// x [batch, time, width] + sinusoids (Vaswani et al. 2017, section 3.5), then dropout. No parameters.
struct SinusoidalPositions {
  double dropout = 0, base = 10000;
  Value operator()(const Arg& x, const PositionOffset& from = {}) const;
};

struct LearnedPositionsConfig {
  std::int64_t longest = 0, width = 0;
  double dropout = 0;
  DType dtype = f32;
  Initializer init = init::normal(0, 0.02);
};

/// x [batch, time, width] + a row of NAME/weight [longest, width] for each position, then dropout. UserError, which
/// names both lengths, if offset + time is beyond the table; with a `start`, when the program runs.
struct LearnedPositions {
  std::string name;
  std::int64_t longest = 0;
  double dropout = 0;
  Embedding table;

  LearnedPositions() = default;
  LearnedPositions(Graph graph, std::string path, const LearnedPositionsConfig& config,
                   std::source_location where = std::source_location::current());
  Value operator()(const Arg& x, const PositionOffset& from = {}) const;
};

struct RelativePositionBiasConfig {
  std::int64_t heads = 0;
  RelativeBucketOptions buckets = {};
  DType dtype = f32;
  Initializer init = init::normal(0, 0.02);
};

/// T5's learned bias (Raffel et al. 2020, section 2.1): parameter NAME/weight [buckets, heads]; for
/// AttentionOptions::bias, one of them for all layers.
struct RelativePositionBias {
  std::string name;
  RelativeBucketOptions buckets;
  Embedding table;

  RelativePositionBias() = default;
  RelativePositionBias(Graph graph, std::string path, const RelativePositionBiasConfig& config,
                       std::source_location where = std::source_location::current());
  /// [heads, time_q, time_k]; [batch, heads, time_q, time_k] if `from.start` is [batch].
  Value operator()(Dim time_q, Dim time_k, const PositionOffset& from = {},
                   std::source_location where = std::source_location::current()) const;
};

struct RelativePositionVectorsConfig {
  std::int64_t max_distance = 0;  ///< k: keys farther away share the last vector
  std::int64_t width = 0;         ///< of a head's queries and keys
  std::int64_t heads = 0;         ///< 0: all heads share the vectors
  std::int64_t value_width = 0;   ///< of a head's values, which get vectors too; 0: they get none
  DType dtype = f32;
  Initializer init = init::normal(0, 0.02);
};

/// Vectors added to the keys, and to the values, by their distance from the query (Shaw et al. 2018, section 3.2):
/// parameters NAME/keys [2 k + 1, width] and NAME/values [2 k + 1, value_width], with an axis of heads in the middle
/// if each has its own.
///
///   AttentionHeads heads = attention.project(x);
///   Value y = attention.attend(heads, {.bias = vectors(heads.q, time)});
struct RelativePositionVectors {
  std::string name;
  std::int64_t max_distance = 0;
  Value keys, values;  ///< values: absent if value_width is 0

  RelativePositionVectors() = default;
  RelativePositionVectors(Graph graph, std::string path, const RelativePositionVectorsConfig& config,
                          std::source_location where = std::source_location::current());
  /// q [batch, time_q, heads, width] -> [batch, heads, time_q, time_k], for AttentionOptions::bias.
  Value operator()(const Arg& q, Dim time_k, const PositionOffset& from = {}) const;
  /// weights [batch, heads, time_q, time_k] -> [batch, time_q, heads, value_width], to be added to attention's result.
  /// UserError without value_width.
  Value of_values(const Arg& weights, const PositionOffset& from = {}) const;
};

struct DisentangledPositionsConfig {
  std::int64_t max_distance = 0;  ///< k: the table of positions has 2 k rows
  std::int64_t width = 0;         ///< of the table
  std::int64_t heads = 1, head_width = 0;
  bool content_to_position = true, position_to_content = true;
  DType dtype = f32;
  std::optional<Initializer> init = {};  ///< of both projections (nn/linear.h)
};

/// One layer's part of DeBERTa's relative positions (He et al. 2021, section 3.1): projections of the table of
/// positions, which all layers share, to keys (NAME/key/weight [heads head_width, width], content to position) and to
/// queries (NAME/query/{weight,bias}, position to content).
///
///   AttentionHeads heads = attention.project(x);
///   Value y = attention.attend(heads, positions(table.weight, heads.q, heads.k));
struct DisentangledPositions {
  std::string name;
  std::int64_t max_distance = 0, heads = 1, head_width = 0;
  Linear key, query;  ///< without its term, its weight is absent

  DisentangledPositions() = default;
  DisentangledPositions(Graph graph, std::string path, const DisentangledPositionsConfig& config,
                        std::source_location where = std::source_location::current());
  /// table [2 k, width], q [batch, time_q, heads, head_width], k [batch, time_k, heads, head_width] -> AttentionOptions
  /// with bias and scale.
  AttentionOptions operator()(const Arg& table, const Arg& q, const Arg& k, const PositionOffset& from = {}) const;
};

}  // namespace weft::nn
