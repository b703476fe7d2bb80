// Lowering: the gradient of a norm is added onto that of its residual branch.
#pragma once

#include <weft/graph/pass.h>

namespace weft {

/// x + d, where d is the gradient that layer_norm_backward or rms_norm_backward gives its operand, nobody else reads d,
/// and x is made before it, is that op with onto = x: the gradient of a residual branch is added row by row, in x's
/// place. Same bits.
const Pass& fuse_norm_gradient();

}  // namespace weft
