// The lowering passes that ops bring (OpDef::lowerings): their names only, so that an op can bring one without knowing
// what else takes part. In which order they run, and why, says the table in runtime/lower.cpp; what each does and what
// it gains, docs/lowering.md.
#pragma once

namespace weft {

struct Pass;

/// A projection to many classes, its cross entropy and what reads their gradient are one node, which walks over chunks
/// of rows: chunk_projection_loss (ops/fuse/chunk_projection_loss.h).
const Pass& chunk_projection_loss_pass();

/// Attention of bf16 runs its products in bf16 (attribute "low") where the processor emulates them too: slower, for
/// tests of those kernels and for the bits of a machine that has them. Optional: PassOptions::enabled.
const Pass& attention_in_bf16();

/// accumulate_sum(matmul(a, b)), also with a cast to the accumulator's type between, of a product of matrices that
/// nobody else reads and that is cut into 4 tiles or more (smaller ones would take more memory, and stay in cache), is
/// matmul_accumulate(a, b): a finished tile goes to the accumulator while it is in cache.
const Pass& fuse_accumulate();

/// adamw(p, g * f, ..) with a scalar f, of a product that nobody else reads, is adamw(p, g, .., f): the step multiplies
/// each element first, rounded as the product was. Same bits; saves a pass over the gradient and its buffer.
const Pass& fuse_adamw_factor();

/// x + y, where y is output 0 of an op that declares an addend (OpDef::addend) and has none yet, and nobody else reads
/// y, is that op with the addend x: no y is made, and x is overwritten where it dies there. Same bits.
const Pass& fuse_addend();

/// The nodes behind a linear, or a matmul with one matrix on its right, that nobody else reads become its epilogue:
/// dropout, a cast to f32, and a sum with a value that is made before. So residual branches, the gradients that meet in
/// one value, and the gradients of masters of bf16 parameters are never written twice.
///
/// Not a sum with a value that is made after the product: its operands would live longer. Not a cast whose reader walks
/// over rows (row_regions): that reads the narrow value.
const Pass& fuse_matmul_epilogue();

}  // namespace weft
