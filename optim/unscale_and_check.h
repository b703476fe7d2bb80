// Between the backward pass and whoever reads the gradients first: the one place where they are unscaled and checked.
#pragma once

#include <weft/graph/step.h>

namespace weft {

/// Unscales every gradient, divides it by the weight of the loss, and decides by whether all are finite if the update
/// is taken. Once a step: the clips, each_gradient, optimize and fetch_gradients all call it, and all but the first
/// find it done.
///
///   g         := g * cast(1 / (loss_scale * gradient_weight)), of the factors those that the tags of g ask for; the
///                quotient is taken in f64, and where no tag asks nothing is multiplied
///   grad_norm := sqrt(sum over parameters of sum g^2), in f64, published: the norm before any clipping
///   finite    := all g are finite and no weight of the loss is 0 (a mean over nothing), published
///   Step::taken := finite and Step::due
///
/// The check follows the multiplication, in the same pass over memory as the norm: inf and NaN stay what they are
/// whatever they are multiplied by, and an unscale that overflows is found too. A loss scale that follows a rule gets
/// its update here.
void unscale_and_check(Step& step);

}  // namespace weft
