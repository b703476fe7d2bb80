// Declares the lowering passes that ops bring (OpDef::lowerings), so that an op can name a pass without knowing which
// other ops take part. Their order, and the reasons for it, are in the table of runtime/lower.cpp; what each does and
// what it gains, in docs/lowering.md.
#pragma once

namespace weft {

struct Pass;

/// A projection to many classes, its cross entropy and the nodes that read their gradient become one node, which works
/// on chunks of rows: chunk_projection_loss (ops/fuse/chunk_projection_loss.h).
const Pass& chunk_projection_loss_pass();

/// Attention of bf16 runs its products in bf16 (attribute "low") even where the processor emulates bf16. That is
/// slower; it serves tests of those kernels and gives the bits of a machine with bf16 products. Optional:
/// PassOptions::enabled.
const Pass& attention_in_bf16();

/// accumulate_sum(matmul(a, b)), also with a cast to the accumulator's type in between, becomes matmul_accumulate(a,
/// b): a finished tile is added to the accumulator while it is in cache. The product is of matrices, nothing else reads
/// it, and it is cut into 4 tiles or more (smaller ones would take more memory, and stay in cache anyway).
const Pass& fuse_accumulate();

/// adamw(p, g * f, ..) with a scalar f, where nothing else reads the product, becomes adamw(p, g, .., f): the update
/// multiplies each element first, rounded as the product was. Same bits; saves a pass over the gradient and its buffer.
const Pass& fuse_adamw_factor();

/// x + y, where y is output 0 of an op that declares an addend (OpDef::addend) and has none yet, and nothing else reads
/// y, becomes that op with the addend x: y is never stored, and x is overwritten if this is its last read. Same bits.
const Pass& fuse_addend();

/// The nodes after a linear (or a matmul whose right operand is one matrix) become its epilogue where nothing else
/// reads the values between them: dropout, a cast to f32, and a sum with a value that is computed earlier. So residual
/// branches, gradients that are added to one value, and gradients of the f32 masters of bf16 parameters are never
/// written twice.
///
/// Left alone: a sum with a value that is computed after the product, since the live ranges of the product's operands
/// would grow; a cast whose reader works row by row (row_regions), since that reads the narrow value.
const Pass& fuse_matmul_epilogue();

}  // namespace weft
