// What a value is made from, and what is made from it: the searches over a graph.
#pragma once

#include <weft/graph/graph.h>

#include <cstddef>
#include <functional>
#include <vector>

namespace weft {

/// Nodes of one graph. An id that the graph does not have, no_node too, is not among them.
class NodeSet {
 public:
  explicit NodeSet(const Graph& graph) : has_(graph.next_id(), false) {}

  bool contains(NodeId id) const { return id < has_.size() && has_[id]; }
  void insert(NodeId id) { has_.at(id) = true; }
  void erase(NodeId id) { has_.at(id) = false; }

 private:
  std::vector<bool> has_;
};

/// Whether a search goes along an edge: from `reader` to an operand of it, or the reverse.
using Along = std::function<bool(const Node& reader, ValueRef operand)>;

/// The nodes that `values` are made from, and their own; absent values are left out.
NodeSet ancestors(const Graph& graph, const std::vector<Value>& values);
/// Those to which a path leads from one of them along these edges alone.
NodeSet ancestors(const Graph& graph, const std::vector<Value>& values, const Along& along);

/// The nodes that are made from `values`, and their own; absent values are left out.
NodeSet descendants(const Graph& graph, const std::vector<Value>& values);
NodeSet descendants(const Graph& graph, const std::vector<Value>& values, const Along& along);

}  // namespace weft
