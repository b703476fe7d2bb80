// Rebuilds a step for another batch size, and says how each value depends on the batch.
#pragma once

#include <weft/graph/step.h>

#include <vector>

namespace weft {

/// The batch is the extent named "batch": graph.dim("batch", 12).
inline constexpr const char* batch_name = "batch";

/// How each output of each node depends on the batch, by the ops' batch rules (OpDef::batch): states[id][output]. For a
/// node of Phase::micro in a graph with several micro-batches: how it depends on the examples of one micro-batch.
std::vector<std::vector<BatchState>> batch_states(const Graph& graph, std::int64_t micro_batches = 1);

/// The same step with a batch of n. UserError if an extent was given as a number that only equals the batch size (it
/// names the user's line; hint: reshape to the Dim), if no extent is named "batch", or if the number of micro-batches
/// does not divide n.
Step at_batch(const Step& step, std::int64_t n);
Graph at_batch(const Graph& graph, std::int64_t n, std::int64_t micro_batches = 1);
/// The extent named "batch". UserError that begins with `who` if there is none.
std::int64_t batch_of(const Graph& graph, const std::string& who);

}  // namespace weft
