#include <weft/ops/fuse/embedding_gradient.h>
#include <weft/ops/fuse/fusion.h>
#include <weft/ops/index/embedding.h>
#include <weft/ops/pointwise/arithmetic.h>

namespace weft {
namespace {

// Of two such tables the later one is added to the earlier.
std::optional<Change> onto(const Graph& graph, const Readers& readers, const Node& node) {
  constexpr std::size_t onto = 2;
  if (node.op != &add_op()) return {};
  for (const std::size_t side : {std::size_t{1}, std::size_t{0}}) {
    const ValueRef table = node.operands[side], other = node.operands[1 - side];
    const Node& made = graph.node(table.node);
    if (made.op != &embedding_backward_op() || made.phase != node.phase || !readers.one(table)) continue;
    if (graph.type(other) != graph.type(table)) continue;
    if (made.operands.size() > onto && made.operands[onto].node != no_node) continue;
    Change change{node, {made.id}};
    change.node.op = made.op;
    change.node.attributes = made.attributes;
    change.node.operands = {made.operands[0], made.operands[1], other};
    return change;
  }
  return {};
}

}  // namespace

const Pass& fuse_embedding_gradient() {
  static const Pass pass{.name = "fuse_embedding_gradient",
                         .run = [](const Step& step) { return change_nodes(step, "fuse_embedding_gradient", onto); },
                         .late = true};
  return pass;
}

}  // namespace weft
