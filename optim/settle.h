// Between the backward pass and whoever reads the gradients first: the one place where they are unscaled and checked.
// Not in <weft/weft.h>.
#pragma once

#include <weft/graph/step.h>

namespace weft {

/// Makes every gradient clean and decides whether the step may be taken. Once a step: the clips, optimize and
/// fetch_gradients all call it, and all but the first find it done.
///
///   g      := g * cast(1 / (loss_scale * gradient_weight)), of the factors those that the tags of g ask for; the
///   quotient is
///             taken in f64, and where no tag asks nothing is multiplied
///   grad_norm = sqrt(sum over parameters of sum g^2), in f64, published: the norm before any clipping
///   finite = all g are finite and no weight of the loss is 0 (a mean over nothing), published; Step::finite is that
///   and
///            Step::due
///
/// The check follows the multiplication, in the same pass over memory as the norm: inf and NaN stay what they are
/// whatever they are multiplied by, and an unscale that overflows is found too. A loss scale that follows a rule gets
/// its update here.
void settle_gradients(Step& step);

}  // namespace weft
