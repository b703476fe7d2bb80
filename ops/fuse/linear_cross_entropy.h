// The cross entropy of a projection in chunks of rows: its logits never exist whole. Made by the lowering pass
// chunk_projection_loss (ops/fuse/chunk_projection_loss.h).
#pragma once

#include <weft/graph/graph.h>

namespace weft {

/// x [.., in], weight [classes, in], targets [..], bias [classes] or absent, class weights [classes] or absent -> sum,
/// weight, losses, logsumexp: cross_entropy(linear(x, weight, bias), targets), of which the evaluation is in chunks.
const OpDef& linear_cross_entropy_op();

/// x, weight, targets, seed ([] or [..]: the cotangent of the losses), bias, class weights -> sum, losses, logsumexp,
/// d_x, d_weight, d_bias. Those of the gradients that the flags "d_x", "d_weight", "d_bias" do not ask for are [0].
/// d_weight of bf16 and f16 is f32 (its values are rounded to the narrow type, as that of linear).
const OpDef& linear_cross_entropy_gradients_op();

/// targets, class weights [classes] or absent -> the weight of a cross entropy, in f64: known without any logits.
const OpDef& cross_entropy_weight_op();

/// How many of `rows` rows a chunk has, unless the attribute "chunk" says so. By the shape alone.
std::int64_t projection_chunk(std::int64_t rows, std::int64_t classes, DType dtype);

void register_linear_cross_entropy();

}  // namespace weft
