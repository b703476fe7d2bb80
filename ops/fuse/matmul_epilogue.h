// A matrix product with an epilogue (bias, dropout, cast, addend) that is applied to its tiles while they are in cache;
// the pass fuse_matmul_epilogue (ops/fuse/passes.h) makes it.
#pragma once

#include <weft/graph/op_def.h>

namespace weft {

/// y = addend + widen(dropout(op(a) op(b) + bias)) over operands (a [.., K], b [K, N], addend [.., N] or absent, bias
/// [N] or absent). Attributes: transpose_a (a is [K, M]), transpose_b (b is [N, K], as linear's weight), p and stream
/// (as those of dropout; none: nothing is dropped), widen (y and the addend are f32 where a is bf16 or f16).
///
/// Each step rounds to its type before the next begins: the bits are those of the nodes one by one.
const OpDef& matmul_epilogue_op();

void register_matmul_epilogue();

}  // namespace weft
