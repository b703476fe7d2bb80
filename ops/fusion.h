// What the lowering passes that ops bring share (OpDef::lowerings; docs/lowering.md).
#pragma once

#include <weft/graph/rewrite.h>
#include <weft/graph/step.h>

#include <functional>
#include <optional>
#include <set>

namespace weft {

/// Who waits for the values of a step.
class Readers {
 public:
  explicit Readers(const Step& step);
  /// Whether one operand of one node is all that reads `ref`: then that node may take over how it is made.
  bool one(ValueRef ref) const;
  /// Whether something besides nodes reads `ref`: a fetch or an update.
  bool root(ValueRef ref) const { return roots_.contains(ref); }

 private:
  Graph graph_;
  std::set<ValueRef> roots_;
};

/// The step with some nodes changed: `change` gives a node (of step.graph) with its new op, attributes and operands (of
/// step.graph, each made before the node), or nothing where it stays. Ids, names and outputs' meaning stay; what nobody
/// reads any more is left to dead_code.
Step change_nodes(const Step& step, const std::string& pass,
                  const std::function<std::optional<Node>(const Graph&, const Readers&, const Node&)>& change);

}  // namespace weft
