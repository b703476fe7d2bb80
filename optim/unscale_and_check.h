// Unscales the gradients and checks that they are finite, once, for the first transform that reads them.
#pragma once

#include <weft/graph/step.h>

namespace weft {

/// Unscales every gradient, divides it by the weight of the loss, and takes the update only if all are finite. Once per
/// step: the clips, each_gradient, optimize and fetch_gradients all call it, and all calls but the first do nothing.
///
///   g         := g * cast(1 / (loss_scale * gradient_weight)), of the factors those that the tags of g ask for; the
///                quotient is taken in f64, and where no tag asks nothing is multiplied
///   grad_norm := sqrt(sum over parameters of sum g^2), in f64, published: the norm before any clipping
///   finite    := all g are finite and no weight of the loss is 0 (a mean over nothing), published
///   Step::taken := finite and Step::due
///
/// The check follows the multiplication, in the same pass over memory as the norm: inf and NaN stay what they are
/// whatever they are multiplied by, and an overflow of the multiplication is found too. A dynamic loss scale gets its
/// update here.
void unscale_and_check(Step& step);

/// bool scalar: whether no weight by which the loss is divided is 0; absent where no loss has one.
Value has_weight(const Step& step);

}  // namespace weft
