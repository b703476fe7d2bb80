// Between a step and its micro-batches: a slice of a fed value for the micro-batch that runs, and the only two ways in
// which values of micro-batches become values of the step, a sum and a stack. And a sum over separate runs.
// optim/accumulate.h and optim/accumulate_over_runs.h put them in; a step of k micro-batches runs them k times.
#pragma once

#include <weft/graph/graph.h>

namespace weft {

/// The examples of the micro-batch that runs: x [.., outer * N * inner, ..] -> [.., outer * (N / count) * inner, ..] at
/// the place that `state` says. UserError (of the graph): count does not divide the extent.
Value micro_slice(const Arg& x, const BatchState& state, std::int64_t count);
/// The sum of a value over the micro-batches, in their order: of f32, f64, i32, i64 in that type (integers exactly,
/// they wrap around), of bf16 and f16 in f32.
Value accumulate_sum(const Arg& x);
/// The values of the micro-batches one beside the other along the batch: [.., outer * n * inner, ..] ->
/// [.., outer * (n * count) * inner, ..] at the place that `state` says.
Value micro_stack(const Arg& x, const BatchState& state, std::int64_t count);
/// first ? x : total + x, where total is a state that this overwrites: a sum over runs that begins anew with `first`
/// (bool scalar). total has the type of accumulate_sum(x).
Value accumulate_onto(const Arg& total, const Arg& x, const Arg& first);

/// The type in which values of `dtype` are summed: f32 for bf16 and f16, else itself.
DType accumulator_dtype(DType dtype);

const OpDef& micro_slice_op();
const OpDef& accumulate_sum_op();
const OpDef& micro_stack_op();
const OpDef& accumulate_onto_op();
void register_micro();

}  // namespace weft
