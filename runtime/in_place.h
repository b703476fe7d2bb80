// Which outputs may lie in which operands' bytes: the one rule, for the planner, for searches over orders and for
// regions. Private to runtime/.
#pragma once

#include <weft/graph/graph.h>
#include <weft/graph/op_def.h>
#include <weft/runtime/function_ref.h>

#include <vector>

namespace weft {

/// The value whose bytes `ref` shows: through views.
ValueRef base_of(const Graph& graph, ValueRef ref);

/// What the op declares (in_place_of), where it is safe once nobody else needs the operand: it is there, it has as many
/// bytes as the output, and no other operand lies in them. Another may where the node is pointwise and that operand has
/// the output's type: then each element is read before it is overwritten. `share(i, j)`: whether operands i and j lie
/// in the same bytes. Nothing for an op that gathers: its output is written once for each micro-batch.
std::vector<InPlace> legal_in_place(const OpView& view, FunctionRef<bool(int, int)> share);
/// The same for a node of a graph.
std::vector<InPlace> legal_in_place(const Graph& graph, const Node& node);

}  // namespace weft
