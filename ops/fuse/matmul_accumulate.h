// A matrix product that is added to its sum over micro-batches; the pass fuse_accumulate (ops/fuse/passes.h) makes it.
#pragma once

#include <weft/graph/op_def.h>

namespace weft {

/// y = sum over the micro-batches of op(a) op(b), of matrices; attributes transpose_a and transpose_b as matmul's. y
/// has the accumulator_dtype() of the operands' dtype. Each product is complete, rounded to the operands' dtype, before
/// it is added: the bits are those of accumulate_sum(matmul(a, b)).
const OpDef& matmul_accumulate_op();

void register_matmul_accumulate();

}  // namespace weft
