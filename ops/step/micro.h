// Ops between a step and its micro-batches: micro_slice takes the current micro-batch of a fed value; accumulate_sum
// and micro_stack, the only two of their kind, turn values of micro-batches into values of the step; accumulate_onto
// sums over separate runs. optim/accumulate.h and optim/accumulate_over_runs.h insert them; a step of k micro-batches
// runs their nodes k times. The room ops/step/ holds the ops that transforms add to training steps: these, AdamW's
// update (adamw.h) and the check of gradients (guard.h).
#pragma once

#include <weft/graph/graph.h>

namespace weft {

/// The examples of the current micro-batch: x [.., outer * N * inner, ..] -> [.., outer * (N / count) * inner, ..]
/// along the batch axis that `state` gives. UserError (of the graph): count does not divide the extent.
Value micro_slice(const Arg& x, const BatchState& state, std::int64_t count);
/// The sum of a value over the micro-batches, in their order: of f32, f64, i32, i64 in that type (integers exactly,
/// they wrap around), of bf16 and f16 in f32.
Value accumulate_sum(const Arg& x);
/// The values of the micro-batches concatenated along the batch: [.., outer * n * inner, ..] -> [.., outer * (n *
/// count) * inner, ..] along the axis that `state` gives.
Value micro_stack(const Arg& x, const BatchState& state, std::int64_t count);
/// first ? x : total + x, where total is a state that this overwrites: a sum over runs that starts over where `first`
/// (bool scalar) is true. total has the type of accumulate_sum(x).
Value accumulate_onto(const Arg& total, const Arg& x, const Arg& first);

/// The type in which values of `dtype` are summed: f32 for bf16 and f16, else itself.
DType accumulator_dtype(DType dtype);

const OpDef& micro_slice_op();
const OpDef& accumulate_sum_op();
const OpDef& micro_stack_op();
const OpDef& accumulate_onto_op();
void register_micro();

}  // namespace weft
