// Ancestors and descendants of values in a graph.
#pragma once

#include <weft/graph/graph.h>

#include <cstddef>
#include <functional>
#include <vector>

namespace weft {

/// A set of nodes of one graph. It never contains no_node or an id that the graph does not have.
class NodeSet {
 public:
  explicit NodeSet(const Graph& graph) : has_(graph.next_id(), false) {}

  bool contains(NodeId id) const { return id < has_.size() && has_[id]; }
  void insert(NodeId id) { has_.at(id) = true; }
  void erase(NodeId id) { has_.at(id) = false; }

 private:
  std::vector<bool> has_;
};

/// Whether a search follows an edge, between `reader` and one of its operands.
using Along = std::function<bool(const Node& reader, ValueRef operand)>;

/// The nodes from which `values` are computed, and the nodes of `values`; absent values are left out.
NodeSet ancestors(const Graph& graph, const std::vector<Value>& values);
/// The same, by paths of edges for which `along` is true.
NodeSet ancestors(const Graph& graph, const std::vector<Value>& values, const Along& along);

/// The nodes that are computed from `values`, and the nodes of `values`; absent values are left out.
NodeSet descendants(const Graph& graph, const std::vector<Value>& values);
NodeSet descendants(const Graph& graph, const std::vector<Value>& values, const Along& along);

}  // namespace weft
