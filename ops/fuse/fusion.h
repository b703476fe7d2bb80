// Helpers of the lowering passes that ops bring (OpDef::lowerings): who reads a value, and how nodes of a step are
// replaced. The room ops/fuse/ holds those passes (passes.h lists them) and the fused ops that they make;
// docs/lowering.md says what each does and gains.
#pragma once

#include <weft/graph/rewrite.h>
#include <weft/graph/step.h>

#include <functional>
#include <optional>
#include <set>
#include <vector>

namespace weft {

/// Which nodes, fetches and updates read each value of a step.
class Readers {
 public:
  explicit Readers(const Step& step);
  /// Whether exactly one operand of one node reads `ref`, and nothing else does: that node may be fused with the one
  /// that makes `ref`.
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

/// What replaces a node: its new op, attributes and operands, and the nodes that it absorbs. If `node` has the id of
/// another node of the graph, the replaced node is absorbed by that one, whose output 0 is read instead.
struct Change {
  Node node;
  std::vector<NodeId> taken_over = {};  ///< absorbed: nothing else reads them; built before the node
};

/// The step with some nodes changed: `change` gives the replacement of a node of step.graph, or nothing if the node
/// stays. Operands belong to step.graph, each built before the node. Ids and the meaning of outputs stay the same.
Step change_nodes(const Step& step, const std::string& pass,
                  const std::function<std::optional<Change>(const Graph&, const Readers&, const Node&)>& change);

}  // namespace weft
