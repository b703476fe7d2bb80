// Looking at what attention looks at, while a step runs: statistics of the weights as values that the step publishes.
#pragma once

#include <weft/nn/attention_nodes.h>
#include <weft/ops/attention/head_statistics.h>

#include <cstdint>
#include <source_location>

namespace weft::nn {

struct AttentionTapOptions {
  HeadSelections of = {{}};       ///< which attentions, and which of their heads
  double sparse_below = 1e-3;     ///< a weight below it counts as none
  std::int64_t block_width = 16;  ///< of the pattern "block"
  bool weights = false;           ///< publish the weights themselves too
};

/// Publishes for each attention at PATH, until remove_taps() (graph/taps.h; ops/attention/head_statistics.h defines
/// each):
///
///   attention/PATH/entropy, sparsity, peak       [heads]
///   attention/PATH/maximum                       [batch, heads]
///   attention/PATH/share/PATTERN, chance/PATTERN [heads], PATTERN is diagonal, previous, first, block or uniform
///   attention/PATH/diversity                     scalar, over all heads of the layer; where there are several
///   attention/PATH/heads                         i64 [heads], where not all heads were chosen: which
///   attention/PATH/weights                       [batch, heads, time_q, time_k], if asked for
///
/// over all examples of the batch, whatever the number of micro-batches; NaN where nothing counts. f32, of f64 f64. On
/// any step and at any point of a chain: evaluation, training, behind accumulate, optimize or checkpoint (a
/// mixed_precision that comes later makes the statistics coarse as well). attention_report() (nn/attention_report.h)
/// reads them. Same bits of everything else; each tapped attention costs its weights once more, a buffer of [batch,
/// heads, time_q, time_k].
///
/// UserError: no attention, a pattern that matches none, a head that is not there; tapped already.
Transform tap_attention(AttentionTapOptions options = {}, std::source_location where = std::source_location::current());

}  // namespace weft::nn
