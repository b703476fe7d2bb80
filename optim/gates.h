// Importance and removal of parts of a layer (heads of an attention, units): a gate is a factor of 1 on such a part. A
// GateFinder, such as nn::heads(), says which parts.
#pragma once

#include <weft/ops/attention/gate.h>

#include <source_location>

namespace weft {

/// Publishes "importance/PATH" [gates], f32 or f64, until remove_taps() (and "importance/PATH/gates", i64, the indices
/// of the gates, where they are not the whole axis). To first order, the size of the change of the loss if the gate
/// became 0, summed over the examples (Michel et al. 2019, section 4.1, the equation for I_h):
///
///   I_g = sum over examples b of |d loss / d xi_bg| = sum_b |sum over the rest of <value, d loss / d value>|,   xi = 1
///
/// where loss is the step's mean over the whole batch, unscaled. For training and evaluation steps (the latter without
/// dropout); before or after clipping and optimizing, before accumulate and checkpoint, after mixed_precision. Costs a
/// backward pass; same bits of everything else.
///
/// UserError: no loss; a value that the loss does not depend on; a wrong place in the chain.
Transform gate_importance(GateFinder gates, std::source_location where = std::source_location::current());

/// Sets these parts of the values to 0 for all their readers, and derives the gradients again (right after
/// training_step, before mixed_precision). Works on evaluation() and inference() too. Fetches of the values themselves
/// stay what they were.
///
/// UserError: a wrong place in the chain; something reads the old gradients.
Transform close_gates(GateFinder gates, std::source_location where = std::source_location::current());

}  // namespace weft
