// What parts of a layer (heads of an attention, units) are worth: asked by differentiating by gates of 1, or by closing
// them. Which parts: a GateFinder, such as nn::heads().
#pragma once

#include <weft/ops/attention/gate.h>

#include <source_location>

namespace weft {

/// Publishes "importance/PATH" [gates], f32 or f64, until remove_taps() (and "importance/PATH/gates", i64, where they
/// are not all along the axis: which): by how much the loss would change to first order if a gate closed, whatever the
/// sign, summed over the examples (Michel et al. 2019, section 4.1, the equation for I_h):
///
///   I_g = sum over examples b of |d loss / d xi_bg| = sum_b |sum over the rest of <value, d loss / d value>|,   xi = 1
///
/// with loss the step's mean over the whole batch, unscaled. On training and evaluation steps (there without dropout);
/// before or after clipping and optimizing, before accumulate and checkpoint, after mixed_precision. Costs a backward
/// pass; same bits of everything else.
///
/// UserError: no loss; a value that the loss does not depend on; a wrong place in the chain.
Transform gate_importance(GateFinder gates, std::source_location where = std::source_location::current());

/// Closes the gates: 0 takes the place of these parts of the values, for all that read them, and the gradients are
/// derived anew (right after training_step, before mixed_precision). On evaluation() and inference() too. What is
/// fetched of the values themselves is what they were before.
///
/// UserError: a wrong place in the chain; somebody reads the old gradients.
Transform close_gates(GateFinder gates, std::source_location where = std::source_location::current());

}  // namespace weft
