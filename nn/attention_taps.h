// Taps on attention: a transform after which a step publishes statistics of its attention weights.
#pragma once

#include <weft/nn/attention_nodes.h>
#include <weft/ops/attention/head_statistics.h>

#include <cstdint>
#include <source_location>

namespace weft::nn {

struct AttentionTapOptions {
  HeadSelections of = {{}};       ///< which attentions, and which of their heads
  double sparse_below = 1e-3;     ///< weights below it count as sparse
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
/// over all examples of the batch, whatever the number of micro-batches; NaN where no query counts. They are f32, or
/// f64 for attention in f64. The transform works on any step, evaluation or training, and at any point of a chain, also
/// after accumulate, optimize or checkpoint (a later mixed_precision lowers the precision of the statistics too).
/// attention_report() (nn/attention_report.h) reads them. All other values keep their bits; each tapped attention
/// computes its weights once more, in a buffer of [batch, heads, time_q, time_k].
///
/// UserError: no attention, a pattern that matches none, a head that does not exist; an attention that is tapped
/// already.
Transform tap_attention(AttentionTapOptions options = {}, std::source_location where = std::source_location::current());

}  // namespace weft::nn
