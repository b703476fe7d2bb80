// A step at another batch size, and where the batch lies in every value.
#pragma once

#include <weft/graph/step.h>

#include <vector>

namespace weft {

/// The batch is the extent named "batch": graph.dim("batch", 12).
inline constexpr const char* batch_name = "batch";

/// State of each output of each node, by the ops' batch rules: states[id][output].
std::vector<std::vector<BatchState>> batch_states(const Graph& graph);

/// The same step with a batch of n. UserError that names the user's line where an extent was given as a number that
/// only equals the batch (hint: reshape to the Dim), or if no extent is named "batch".
Step at_batch(const Step& step, std::int64_t n);
Graph at_batch(const Graph& graph, std::int64_t n);

}  // namespace weft
