// Lowering: the gradient of an embedding is added onto the sum that it belongs to.
#pragma once

#include <weft/graph/pass.h>

namespace weft {

/// x + embedding_backward(d_y, ids), of a table that nobody else reads, is embedding_backward(d_y, ids, onto = x): rows
/// that have a place are added to x's, in place where x dies there, and no table of zeros is made. Same bits, but that
/// -0.0 in a row without a place stays -0.0 where the sum with a table of zeros made it 0.0.
const Pass& fuse_embedding_gradient();

}  // namespace weft
