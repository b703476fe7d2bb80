// x + y into the op that makes y, where that op declares an operand which it adds (OpDef::addend).
#include <weft/graph/pass.h>
#include <weft/ops/fuse/fusion.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/pointwise/arithmetic.h>

#include <algorithm>
#include <utility>

namespace weft {
namespace {

bool takes_addend(const Node& node) {
  if (node.op->addend < 0) return false;
  const auto at = static_cast<std::size_t>(node.op->addend);
  return at >= node.operands.size() || node.operands[at].node == no_node;
}

// y + x as the op that makes y, with x added; nothing where it may not.
std::optional<Change> with_addend(const Graph& graph, const Readers& readers, const Node& sum, ValueRef y, ValueRef x) {
  const Node& made = graph.node(y.node);
  if (!takes_addend(made) || y.output != 0 || made.phase != sum.phase || !readers.one(y)) return {};
  if (x.node == y.node || graph.type(x) != graph.type(y)) return {};
  // In the place of the op where x is made before it. Else in that of the sum, which an op of several outputs cannot
  // take: others may read them in between.
  const bool stays = readers.before(x.node, made.id);
  if (!stays && made.types.size() > 1) return {};
  Change change{stays ? made : sum, {}};
  change.node.op = made.op;
  change.node.attributes = made.attributes;
  change.node.operands = made.operands;
  const auto at = static_cast<std::size_t>(made.op->addend);
  change.node.operands.resize(std::max(made.operands.size(), at + 1), ValueRef{});
  change.node.operands[at] = x;
  if (!stays) change.taken_over = {made.id};
  return change;
}

// Of two values that could take each other the later one takes the earlier.
std::optional<Change> changed(const Graph& graph, const Readers& readers, const Node& node) {
  if (node.op != &add_op()) return {};
  ValueRef later = node.operands[1], earlier = node.operands[0];
  if (readers.before(later.node, earlier.node)) std::swap(later, earlier);
  std::optional<Change> change = with_addend(graph, readers, node, later, earlier);
  return change ? change : with_addend(graph, readers, node, earlier, later);
}

}  // namespace

const Pass& fuse_addend() {
  static const Pass pass{.name = "fuse_addend",
                         .run = [](const Step& step) { return change_nodes(step, "fuse_addend", changed); },
                         .late = true};
  return pass;
}

}  // namespace weft
