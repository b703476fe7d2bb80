// Building one graph from another: the only way in which a pass changes anything.
#pragma once

#include <weft/graph/step.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weft {

/// Copies a graph node by node, in topological order. Nodes keep their ids for as long as they mean the same;
/// redirects and removals are recorded, so that find() answers for values of earlier graphs.
class Rebuild {
 public:
  Rebuild(const Graph& from, std::string pass);

  const Graph& from() const { return from_; }
  Graph& to() { return to_; }
  /// The new graph's value for a value of the old one.
  Value map(ValueRef old) const;
  bool mapped(ValueRef old) const;
  std::vector<ValueRef> operands(const Node& node) const;  ///< mapped; absent stays absent

  /// The node as it is, over mapped operands, with its id. Types are inferred anew where an operand's has changed.
  void keep(const Node& node);
  /// The same node (and id) with other attributes and types inferred anew; UserError where the shape rule refuses.
  void keep_with(const Node& node, Attributes attributes);
  /// The node with its id, changed: `changed` holds operands of the new graph; types are inferred anew. For other
  /// operands (a cast before them) or another phase.
  void keep_as(Node changed);
  /// Output k of `node` is `values[k]` (of the new graph) from now on. A node that was kept before stays what find()
  /// answers; only those who read it read `values` instead (a cast put behind it).
  void replace(const Node& node, const std::vector<Value>& values);
  /// Nobody reads the node any more. A node of which nothing is said until finish() is dropped too.
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

/// `values` of a graph, as they would be if `from` were `to` (same types): appends to the graph the nodes between, with
/// new ids and provenance ("substitute", or the pass of the open made_by scope; old id). Values that do not depend on
/// `from` come back as they are.
std::vector<Value> substitute(const std::vector<Value>& values,
                              const std::vector<std::pair<Value, Value>>& replacements);

}  // namespace weft
