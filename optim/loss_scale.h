// Loss scaling: the backward pass starts from larger cotangents, so that small gradients do not underflow in f16.
#pragma once

#include <weft/graph/step.h>

#include <optional>
#include <source_location>

namespace weft {

/// The factor of the loss: a constant, or a dynamic scale.
struct LossScaling {
  double start = 1;
  std::optional<ScaleRule> rule = std::nullopt;
};

/// Always `scale`. UserError unless it is positive and finite (as a float).
LossScaling static_scale(double scale, std::source_location where = std::source_location::current());

/// Micikevicius et al. 2018, section 3.2, with the rule of torch.amp.GradScaler (_amp_update_scale_), and bounds:
///   a gradient is not finite:  scale := max(scale * backoff, least), tracker := 0
///   else tracker + 1 = window: scale := min(scale * growth, greatest) if scale * growth is finite, tracker := 0
///   else:                      tracker := tracker + 1
/// The scale is rounded to a float whenever it changes, as PyTorch's is; it is the same in f32 and f64. UserError:
/// start, least or greatest not positive and finite (greatest may be infinite); growth <= 1; backoff outside (0, 1);
/// window < 1; start outside [least, greatest].
LossScaling dynamic_scale(const ScaleRule& rule = {}, std::source_location where = std::source_location::current());

/// Multiplies the initial cotangents of the backward pass (Step::seeds) by the scale, and tags the gradients: the first
/// transform that reads them (a clip, optimize, fetch_gradients) divides them by it once, checks them, and takes the
/// update only where all are finite. A step that is not taken changes nothing but the scale, its tracker and the
/// counters "skipped" and "runs". If nothing reads the gradients, they are not unscaled, and the scale stays as it is.
///
/// States of a dynamic scale: "loss_scale" (f64), "loss_scale/tracker" (i64: steps with finite gradients since it last
/// changed). Publishes "loss_scale", the one used in the run. A power of two changes no bits of the gradients, unless a
/// value leaves the range of its type.
///
/// UserError: a loss that is neither f32 nor f64; a parameter in f16; a fetch or an update that reads the backward
/// pass; applied twice; after the gradients were unscaled; after checkpoint.
Transform scale_loss(const LossScaling& scaling, std::source_location where = std::source_location::current());

/// Adds the update of a dynamic scale, by `finite` (bool scalar); does nothing for a static one. A run whose loss has
/// no weight (`counted` is false; absent: it always has) says nothing of the scale, which stays. For unscale_and_check.
void update_loss_scale(Step& step, const Value& finite, const Value& counted);

}  // namespace weft
