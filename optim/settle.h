// Between the backward pass and whoever reads the gradients first: the one place where they are unscaled and checked.
#pragma once

#include <weft/graph/step.h>

namespace weft {

/// Makes every gradient clean (divided by loss scale and weight where its tags say that it is not), computes the global
/// norm before clipping ("grad_norm") and whether all are finite ("finite", Step::finite). Once a step: clip_global_norm and
/// optimize both call it, the second finds it done.
///   grad_norm = sqrt(sum over parameters of sum g^2)
void settle_gradients(Step& step);

}  // namespace weft
