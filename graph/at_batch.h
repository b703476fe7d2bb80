// A step at another batch size, and where the batch lies in every value.
#pragma once

#include <weft/graph/step.h>

#include <vector>

namespace weft {

/// The batch is the extent named "batch": graph.dim("batch", 12).
inline constexpr const char* batch_name = "batch";

/// State of each output of each node, by the ops' batch rules: states[id][output]. Of a node of Phase::micro in a graph
/// of several micro-batches: its relation to the examples of one micro-batch.
std::vector<std::vector<BatchState>> batch_states(const Graph& graph, std::int64_t micro_batches = 1);

/// The same step with a batch of n. UserError that names the user's line where an extent was given as a number that
/// only equals the batch (hint: reshape to the Dim), if no extent is named "batch", or if n does not fall into the
/// micro-batches that the step has.
Step at_batch(const Step& step, std::int64_t n);
Graph at_batch(const Graph& graph, std::int64_t n, std::int64_t micro_batches = 1);
/// The extent named "batch". UserError that begins with `who` if there is none.
std::int64_t batch_of(const Graph& graph, const std::string& who);

}  // namespace weft
