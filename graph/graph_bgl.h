// The graph as a Boost.Graph, for those who want Boost's algorithms (opt-in: no other public header shows Boost).
// Not in <weft/weft.h>.
//
//   const BoostGraph& g = as_boost(graph);
//   boost::topological_sort(g, out);             *g[vertex].node is a weft::Node, g[edge].operand its operand index
#pragma once

#include <weft/graph/graph.h>

#include <boost/graph/adjacency_list.hpp>

namespace weft {

/// An edge runs from the producer to the user of a value.
struct OperandEdge {
  std::uint32_t output = 0;   ///< of the producer
  std::uint32_t operand = 0;  ///< of the user
};
/// Nodes never change, so graphs that were copied share them, and references to them stay valid while a graph grows.
struct NodeVertex {
  std::shared_ptr<const Node> node;
};
using BoostGraph = boost::adjacency_list<boost::vecS, boost::vecS, boost::bidirectionalS, NodeVertex, OperandEdge>;
using Vertex = BoostGraph::vertex_descriptor;

const BoostGraph& as_boost(const Graph& graph);
Vertex vertex_of(const Graph& graph, NodeId node);

}  // namespace weft
