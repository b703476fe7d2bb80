// A lowering pass that computes a projection and the cross entropy of its logits, forward and backward, in one node
// that works on chunks of rows. The op cross_entropy brings it (OpDef::lowerings).
#pragma once

#include <weft/graph/step.h>

namespace weft {

/// "chunk_projection_loss": replaces
///
///   logits = linear(x, weight, bias)           sum, losses, logsumexp, d_x, d_weight, d_bias
///   sum, weight, .. = cross_entropy(logits)      = linear_cross_entropy_gradients(x, weight, targets, seed, bias)
///   d_logits = cross_entropy_backward(logits, seed)   ->  (linear_cross_entropy where there is no backward pass)
///   d_x = d_logits weight, d_weight = d_logits^T x    weight = cross_entropy_weight(targets)
///   d_bias = sum over rows of d_logits
///
/// so that only one chunk of logits and d_logits exists at a time. Results are equal up to the rounding of sums over
/// rows. The gradients come with the loss, so the seed may not depend on the loss, only on its weight. Left alone:
/// logits or d_logits that anything else reads or that are fetched, and logits that fit into one chunk
/// (projection_chunk).
///
/// `chunk`: rows of a chunk; 0: chosen by the shape, as the pass does (ops/fuse/passes.h).
Step chunk_projection_loss(const Step& step, std::int64_t chunk = 0);

}  // namespace weft
