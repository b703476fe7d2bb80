// From a value of micro-batches to one of the step. Private to optim/.
#pragma once

#include <weft/graph/batch_state.h>
#include <weft/graph/graph.h>

#include <cstdint>

namespace weft {

/// The sum over the micro-batches of a value that is summed over examples, in its own type (added in f32 where that is
/// narrow); the stack of one that is split. Built in Phase::step.
Value gathered(const Value& value, const BatchState& state, std::int64_t micro_batches);

}  // namespace weft
