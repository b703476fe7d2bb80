// Which nodes of a graph compute the same bits: for common_subexpressions, the audit and tap_gradients.
#pragma once

#include <weft/graph/graph.h>

#include <vector>

namespace weft {

struct EqualNodes {
  bool random = false;     ///< also random nodes of one stream: in one run they draw the same numbers
  bool any_phase = false;  ///< also nodes of different phases
};

/// By id: the first node, in build order, with the same op, attributes, types, phase and equal operands; the node
/// itself where there is none, no_node for ids that the graph does not have. Sources other than equal constants, nodes
/// with side effects and the copies that checkpoint makes equal no other node.
std::vector<NodeId> equal_nodes(const Graph& graph, const EqualNodes& options = {});

}  // namespace weft
