// A product and what is done to its tiles while they are in cache.
#pragma once

#include <weft/graph/op_def.h>
#include <weft/graph/pass.h>

namespace weft {

/// y = addend + widen(dropout(op(a) op(b) + bias)) over operands (a [.., K], b [K, N], addend [.., N] or absent, bias
/// [N] or absent). Attributes: transpose_a (a is [K, M]), transpose_b (b is [N, K], as linear's weight), p and stream
/// (as those of dropout; none: nothing is dropped), widen (y and the addend are f32 where a is bf16 or f16).
///
/// Each step rounds to its type before the next begins: the bits are those of the nodes one by one.
const OpDef& matmul_epilogue_op();

/// The nodes behind a linear, or a matmul with one matrix on its right, that nobody else reads become its epilogue:
/// dropout, a cast to f32, and a sum with a value that is made before. So residual branches, the gradients that meet in
/// one value, and the gradients of masters of bf16 parameters are never written twice.
///
/// Not a sum with a value that is made after the product: its operands would live longer. Not a cast whose reader walks
/// over rows (row_regions): that reads the narrow value.
const Pass& fuse_matmul_epilogue();

void register_matmul_epilogue();

}  // namespace weft
