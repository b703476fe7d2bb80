// Lowering: the factor of a clipped gradient is multiplied inside adamw.
#pragma once

#include <weft/graph/pass.h>

namespace weft {

/// adamw(p, g * f, ..) with a scalar f, of a product that nobody else reads, is adamw(p, g, .., f): the step multiplies
/// each element first, rounded as the product was. Same bits; saves a pass over the gradient and its buffer.
const Pass& fuse_adamw_factor();

}  // namespace weft
