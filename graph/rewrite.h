// Rebuild, which makes one graph from another: every pass changes a step by it.
#pragma once

#include <weft/graph/step.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weft {

/// Copies a graph node by node, in topological order. A node keeps its id as long as it means the same; replaced and
/// removed nodes are recorded, so that find() works on values of earlier graphs.
class Rebuild {
 public:
  Rebuild(const Graph& from, std::string pass);

  const Graph& from() const { return from_; }
  Graph& to() { return to_; }
  /// The new graph's value for a value of the old one.
  Value map(ValueRef old) const;
  bool mapped(ValueRef old) const;
  std::vector<ValueRef> operands(const Node& node) const;  ///< mapped; absent stays absent

  /// The node as it is, over mapped operands, with its id. Types are inferred again where an operand's has changed.
  void keep(const Node& node);
  /// The same node (and id) with other attributes, and types inferred again; UserError where the shape rule refuses.
  void keep_with(const Node& node, Attributes attributes);
  /// The node with its id, changed: `changed` holds operands of the new graph; types are inferred again. For other
  /// operands (a cast before them) or another phase.
  void keep_as(Node changed);
  /// From now on `values[k]` (of the new graph) stands for output k of `node`. If the node was kept before, find()
  /// still gives the kept one, and only its readers read `values` instead (a cast put behind it).
  void replace(const Node& node, const std::vector<Value>& values);
  /// Removes the node: nothing may read it any more. finish() also removes nodes that were neither kept nor replaced.
  void drop(const Node& node);
  /// While it lives, nodes built in to() stand for `node`: they lie in its scope and phase, report its line, and
  /// their provenance is (pass, node).
  [[nodiscard]] Scope in_place_of(const Node& node);
  /// The finished graph: named extents, updates and what was known of earlier graphs carried over.
  Graph finish();

 private:
  Graph from_, to_;
  std::string pass_;
  std::vector<std::vector<ValueRef>> map_;  ///< by old id, by output
};

/// `values` with `from` replaced by `to` (of the same types) in all that they are computed from, for each pair (from,
/// to): appends copies of the nodes in between to the graph, with new ids and provenance ("substitute", or the pass of
/// the open made_by scope; old id). Values that do not depend on any `from` are returned as they are.
std::vector<Value> substitute(const std::vector<Value>& values,
                              const std::vector<std::pair<Value, Value>>& replacements);

}  // namespace weft
