// A product that is added to a sum over micro-batches.
#pragma once

#include <weft/graph/op_def.h>
#include <weft/graph/pass.h>

namespace weft {

/// y = sum over the micro-batches of op(a) op(b), of matrices; attributes transpose_a and transpose_b as matmul's. y is
/// of accumulator_dtype. Each product is complete, rounded to the operands' dtype, before it is added: the bits are
/// those of accumulate_sum(matmul(a, b)).
const OpDef& matmul_accumulate_op();

/// accumulate_sum(matmul(a, b)), also with a cast to the accumulator's type between, of a product of matrices that
/// nobody else reads and that is cut into 4 tiles or more (smaller ones would take more memory, and stay in cache), is
/// matmul_accumulate(a, b): a finished tile goes to the accumulator while it is in cache.
const Pass& fuse_accumulate();

void register_matmul_accumulate();

}  // namespace weft
