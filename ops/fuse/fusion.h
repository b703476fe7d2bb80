// What the lowering passes that ops bring share (OpDef::lowerings; docs/lowering.md).
#pragma once

#include <weft/graph/rewrite.h>
#include <weft/graph/step.h>

#include <functional>
#include <optional>
#include <set>
#include <vector>

namespace weft {

/// Who waits for the values of a step.
class Readers {
 public:
  explicit Readers(const Step& step);
  /// Whether one operand of one node is all that reads `ref`: then that node may take over how it is made.
  bool one(ValueRef ref) const;
  /// Whether something besides nodes reads `ref`: a fetch or an update.
  bool root(ValueRef ref) const { return roots_.contains(ref); }
  /// Whether `a` is built before `b` (ids say nothing: transforms put new nodes between old ones).
  bool before(NodeId a, NodeId b) const { return position_[a] < position_[b]; }

 private:
  Graph graph_;
  std::set<ValueRef> roots_;
  std::vector<std::size_t> position_;  // by id
};

/// What becomes of a node: its new op, attributes and operands, and the nodes that it takes over. Of a node that is
/// another's operand now, that other: then `node` is of the other's id, and its output 0 is read instead.
struct Change {
  Node node;
  std::vector<NodeId> taken_over = {};  ///< read by nobody else, built before the node
};

/// The step with some nodes changed: `change` gives what becomes of a node of step.graph, or nothing where it stays.
/// Operands are of step.graph, each built before the node. Ids and the meaning of outputs stay.
Step change_nodes(const Step& step, const std::string& pass,
                  const std::function<std::optional<Change>(const Graph&, const Readers&, const Node&)>& change);

}  // namespace weft
