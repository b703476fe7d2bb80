// A product that is added to something, tile by tile.
#pragma once

#include <weft/graph/op_def.h>
#include <weft/graph/pass.h>

namespace weft {

/// y = addend + (x op(b) + bias) over operands (x [.., K], b [K, N], addend [.., N], bias [N] or absent); attribute
/// transpose_b: b is [N, K], as linear's weight. The product is complete, with its bias and rounded to the dtype, before
/// it is added: the bits are those of add(addend, linear(x, b, bias)).
const OpDef& linear_add_op();

/// add(c, p) where p is a linear or a matmul with one matrix on its right that nobody else reads, and c is made before p,
/// is linear_add: residual branches, and the sum of the gradients that meet in one value. A finished tile is added while
/// it is in cache, and p is never written. (Where c is made after p, the operands of p would live longer.)
const Pass& fuse_linear_add();

void register_linear_add();

}  // namespace weft
