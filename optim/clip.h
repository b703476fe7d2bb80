// Gradient clipping: torch.nn.utils.clip_grad_norm_ and clip_grad_value_ as nodes, with a choice of what happens when
// gradients are not finite.
#pragma once

#include <weft/graph/step.h>

#include <source_location>

namespace weft {

/// What happens to a step whose gradients (or whose norm) are not finite.
enum class NonFinite {
  skip,       ///< the update is not taken; counted as "skipped"
  propagate,  ///< the update is taken with what the formula gives (PyTorch's error_if_nonfinite=False); with a loss
              ///< scale it is skipped all the same, as by torch.amp.GradScaler
  fail,       ///< the run ends in a UserError that gives the norm and the parameters; the Store stays as it was
};

struct ClipOptions {
  double norm_type = 2;  ///< p of the p-norm: any p >= 1, or infinity (the largest |g|)
  NonFinite non_finite = NonFinite::skip;
};

/// g := g * min(1, max_norm / (norm + 1e-6)), norm = the p-norm of all gradients together (the p-norm of their
/// p-norms), as torch.nn.utils.clip_grad_norm_. Norm and factor are computed in f64, the factor is rounded once to the
/// gradient's type. Every gradient is multiplied, by exactly 1 where the norm is small enough: it keeps its bits.
///
/// "grad_norm" (the 2-norm before any clipping) is published by the first transform that reads the gradients. What this
/// transform measures beside it is published as "grad_norm/1", "grad_norm/inf" for other norms, and as "clipped_norm",
/// "clipped_norm/1" after an earlier clip (clips may follow one another: each measures its input). UserError: max_norm
/// is not positive (infinity only measures); norm_type below 1; no gradients; after optimize.
Transform clip_global_norm(double max_norm, const ClipOptions& options = {},
                           std::source_location where = std::source_location::current());

/// The same for the gradient of each parameter by itself: g_i := g_i * min(1, max_norm / (|g_i|_p + 1e-6)).
Transform clip_norm(double max_norm, const ClipOptions& options = {},
                    std::source_location where = std::source_location::current());

/// g := min(max(g, -limit), limit), element by element, as torch.nn.utils.clip_grad_value_; NaN stays NaN.
/// UserError: limit is not positive; no gradients; after optimize.
Transform clip_value(double limit, NonFinite non_finite = NonFinite::skip,
                     std::source_location where = std::source_location::current());

}  // namespace weft
