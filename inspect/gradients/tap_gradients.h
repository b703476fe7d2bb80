// How the gradients of a run are: statistics as values that the step publishes, which gradient_report() reads.
//
//   const Step watched = step | tap_gradients();          // behind optimize, before checkpoint
//   std::cout << gradient_report(program.run(feeds), watched);
#pragma once

#include <weft/graph/step.h>

#include <array>
#include <source_location>
#include <string>

namespace weft {

struct GradientTapOptions {
  bool blocks = true;  ///< gradients that go from block to block
  bool units = true;   ///< dead units and closed rows of the forward pass's nodes
  bool f16 = true;     ///< what f16 would lose: a comparison for each of f16_scales and two more
  /// A row is closed where less than this share of the gradient's magnitude comes through.
  double closed_below = 1e-6;
};

/// Loss scales for which it is counted what f16 would lose: 2^0, 2^4, .., 2^24.
inline constexpr std::array<double, 7> f16_scales{1, 16, 256, 4096, 65536, 1048576, 16777216};

/// Publishes, until remove_taps() (graph/taps.h), for each parameter at PATH that has a gradient g, clean (unscaled,
/// divided by the weight of the loss) and as it is at this place of the chain, so behind a clip the clipped one:
///
///   flow/gradient/PATH  f64 [5]   sum of g^2, sum of g, largest |g|, zeros, elements that are not finite flow/f16/PATH
///   f64 [9]   of |g| times the loss scale in use: <= 2^-25 (f16 rounds it to 0), < 2^-14 (it loses digits);
///                                 then of |g| times each of f16_scales: <= 2^-25. Zeros count in each
///   flow/rows/PATH      f64 [2]   units (rows of [out, in] weights, columns of [in, out] ones) whose gradient is all
///   0, units;
///                                 of matrices that are multiplied (not of embeddings, whose rows are picked)
///   flow/arrives/PATH   f64 [2]   of a gradient that is a mere sum of cotangents (a bias): sum of their magnitudes,
///   clean, after
///                                 accumulate_over_runs() of those of this run; the unit roundoff of the types that it
///                                 is summed in
///   flow/update/PATH    f64 [2]   sum of w^2, sum of (new w - w)^2; behind optimize
///
/// and for each block B (inspect/audit/blocks.h), each node N of the forward pass, with cotangents as the backward pass
/// has them:
///
///   flow/block/B        f64 [2]   sum of squares of the cotangents of what B reads of other blocks, of what it gives
///   to others flow/units/N        f64 [2]   units (indices of the last axis) into whose operand nothing comes for any
///   example although
///                                 something arrives, units at which something arrives; of activations
///   flow/closed/N/i     f64 [2]   rows (all but the last axis) of operand i of which less than closed_below of what
///   arrives at
///                                 the output's row comes through, rows at which something arrives: a saturated softmax
///   flow/factor         f64       by which cotangents (flow/block) are to be multiplied to be clean
///
/// Sums are over the whole batch, whatever the number of micro-batches. Claims the same bits of everything else. Costs
/// passes over every gradient. Blocks and nodes are missing where the step has no cotangent for them: after
/// accumulate() of a loss of several weights.
///
/// UserError: no gradients; after checkpoint (put it before); tapped already.
Transform tap_gradients(GradientTapOptions options = {}, std::source_location where = std::source_location::current());

}  // namespace weft
