// Which outputs may overwrite which operands: one rule for the planner, for searches over orders and for regions.
// Private to runtime/.
#pragma once

#include <weft/graph/graph.h>
#include <weft/graph/op_def.h>
#include <weft/runtime/function_ref.h>

#include <vector>

namespace weft {

/// The value that owns the bytes of `ref`: `ref` itself, or what a view was made from.
ValueRef base_of(const Graph& graph, ValueRef ref);

/// The pairs that the op declares (in_place_of) and that are safe if nothing else needs the operand later: the operand
/// is present, has as many bytes as the output, and shares them with no other operand. A pointwise node may overwrite
/// shared bytes if the other operand has the output's type: then each element is read before it is overwritten.
/// `share(i, j)`: whether operands i and j share bytes. No pairs for an op that gathers: its output is written once for
/// each micro-batch.
std::vector<InPlace> legal_in_place(const OpView& view, FunctionRef<bool(int, int)> share);
/// The same for a node of a graph.
std::vector<InPlace> legal_in_place(const Graph& graph, const Node& node);

}  // namespace weft
