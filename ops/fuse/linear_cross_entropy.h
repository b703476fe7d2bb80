// The cross entropy of a linear projection, computed in chunks of rows so that the logits never exist as a whole. The
// lowering pass chunk_projection_loss (ops/fuse/chunk_projection_loss.h) makes these ops.
#pragma once

#include <weft/graph/graph.h>

namespace weft {

/// x [.., in], weight [classes, in], targets [..], bias [classes] or absent, class weights [classes] or absent -> sum,
/// weight, losses, logsumexp: cross_entropy(linear(x, weight, bias), targets), evaluated in chunks.
const OpDef& linear_cross_entropy_op();

/// The same operands and the seed ([] or [..]: the cotangent of the losses) -> sum, losses, logsumexp, d_x, d_weight,
/// d_bias. A gradient that the flag of its name ("d_x", "d_weight", "d_bias") does not ask for has shape
/// [0]. For bf16 and f16, d_weight is f32, its values rounded to the narrow type as in the backward of linear.
const OpDef& linear_cross_entropy_gradients_op();

/// targets, class weights [classes] or absent -> the weight of a cross entropy, in f64: known without any logits.
const OpDef& cross_entropy_weight_op();

/// The number of rows of a chunk, unless the attribute "chunk" gives it. Depends on the shape alone.
std::int64_t projection_chunk(std::int64_t rows, std::int64_t classes, DType dtype);

void register_linear_cross_entropy();

}  // namespace weft
