// Gradient clipping: torch.nn.utils.clip_grad_norm_ and clip_grad_value_ as nodes, with a say in what is not finite.
#pragma once

#include <weft/graph/step.h>

#include <source_location>

namespace weft {

/// What a clip does with a step whose gradients (or whose norm) it finds not finite.
enum class NonFinite {
  skip,       ///< the step is not taken; counted as "skipped"
  propagate,  ///< it is taken with what the formula gives (PyTorch's error_if_nonfinite=False); with a loss scale it is
              ///< skipped all the same, as by torch.amp.GradScaler
  fail,       ///< the run ends in a UserError that says the norm and names the parameters; the Store stays as it was
};

struct ClipOptions {
  double norm_type = 2;  ///< p of the p-norm: any p >= 1, or infinity (the largest |g|)
  NonFinite non_finite = NonFinite::skip;
};

/// g := g * min(1, max_norm / (norm + 1e-6)), norm = the p-norm of all gradients together (the p-norm of their
/// p-norms), as torch.nn.utils.clip_grad_norm_. Norm and factor are taken in f64, the factor is rounded once to the
/// gradient's type, and every gradient is multiplied, by 1 where it is short: a short one keeps its bits.
///
/// "grad_norm" (the 2-norm before any clipping) is published by whoever reads the gradients first. What this transform
/// measured beside it has a name of its own: "grad_norm/1", "grad_norm/inf" for other norms, "clipped_norm",
/// "clipped_norm/1" where a clip came before (several clips may follow one another: each measures what it gets).
/// UserError: max_norm is not positive (infinity only measures); norm_type below 1; no gradients; after optimize.
Transform clip_global_norm(double max_norm, const ClipOptions& options = {},
                           std::source_location where = std::source_location::current());

/// The same for each parameter's gradient by itself: g_i := g_i * min(1, max_norm / (|g_i|_p + 1e-6)).
Transform clip_norm(double max_norm, const ClipOptions& options = {},
                    std::source_location where = std::source_location::current());

/// g := min(max(g, -limit), limit), element by element, as torch.nn.utils.clip_grad_value_; NaN stays NaN.
/// UserError: limit is not positive; no gradients; after optimize.
Transform clip_value(double limit, NonFinite non_finite = NonFinite::skip,
                     std::source_location where = std::source_location::current());

}  // namespace weft
