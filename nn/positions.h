// Positions as modules: sinusoids or a learned table added to embeddings, and a learned bias of the scores.
#pragma once

#include <weft/nn/dropout.h>
#include <weft/nn/embedding.h>
#include <weft/ops/positions.h>

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

/// x [batch, time, width] + a row of NAME/weight [longest, width] for each position, then dropout. UserError where
/// offset + time goes beyond the table: both lengths are named; of a `start`, when the program runs.
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

}  // namespace weft::nn
