// Gradient clipping.
#pragma once

#include <weft/graph/step.h>

#include <source_location>

namespace weft {

/// g := g * min(1, max_norm / (norm + 1e-6)), norm = the 2-norm of all gradients together, as
/// torch.nn.utils.clip_grad_norm_. The norm before clipping is published as "grad_norm". A step whose norm is not finite
/// is skipped by optimize. UserError: max_norm is not positive; no gradients; after optimize.
Transform clip_global_norm(double max_norm, std::source_location where = std::source_location::current());

}  // namespace weft
