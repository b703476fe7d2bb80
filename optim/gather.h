// Combines a value of the micro-batches into one value of the step. Private to optim/.
#pragma once

#include <weft/graph/batch_state.h>
#include <weft/graph/graph.h>

#include <cstdint>

namespace weft {

/// For a value that is summed over examples: its sum over the micro-batches, in its own type (added in f32 for bf16 and
/// f16). For one that is split: the concatenation. Built in Phase::step.
Value gathered(const Value& value, const BatchState& state, std::int64_t micro_batches);

}  // namespace weft
