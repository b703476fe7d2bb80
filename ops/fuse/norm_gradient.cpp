#include <weft/ops/fuse/norm_gradient.h>

#include <weft/ops/fuse/fusion.h>
#include <weft/ops/norm/layer_norm.h>
#include <weft/ops/norm/rms_norm.h>
#include <weft/ops/pointwise/arithmetic.h>

#include <map>

namespace weft {
namespace {

// Where `onto` is among the operands of such an op; 0: it is another op.
std::size_t place_of_onto(const Node& node) {
  if (node.op == &layer_norm_backward_op()) return 5;
  return node.op == &rms_norm_backward_op() ? 4 : 0;
}

struct Sum {
  NodeId norm;
  ValueRef onto;
};

std::optional<Sum> sum_of(const Graph& graph, const Readers& readers, const Node& node) {
  if (node.op != &add_op()) return {};
  for (const std::size_t side : {std::size_t{1}, std::size_t{0}}) {
    const ValueRef d = node.operands[side], other = node.operands[1 - side];
    const Node& norm = graph.node(d.node);
    const std::size_t at = place_of_onto(norm);
    if (at == 0 || d.output != 0 || !readers.one(d) || norm.phase != node.phase || other.node > norm.id) continue;
    if (graph.type(other) != graph.type(d)) continue;
    if (norm.operands.size() > at && norm.operands[at].node != no_node) continue;
    return Sum{norm.id, other};
  }
  return {};
}

Step run(const Step& step) {
  const Readers readers(step);
  std::map<NodeId, NodeId> norm_of;  // by the add that goes
  std::map<NodeId, ValueRef> onto;   // by the norm
  for (const NodeId id : step.graph.ids())
    if (const auto sum = sum_of(step.graph, readers, step.graph.node(id))) {
      norm_of.emplace(id, sum->norm);
      onto.emplace(sum->norm, sum->onto);
    }
  if (onto.empty()) return step;
  Rebuild rebuild(step.graph, "fuse_norm_gradient");
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    if (const auto at = norm_of.find(id); at != norm_of.end()) {
      rebuild.replace(node, {rebuild.map({at->second, 0})});
    } else if (const auto found = onto.find(id); found != onto.end()) {
      Node changed = node;
      changed.operands.resize(place_of_onto(node), ValueRef{});
      changed.operands = rebuild.operands(changed);
      changed.operands.push_back(rebuild.map(found->second).ref());
      rebuild.keep_as(std::move(changed));
    } else {
      rebuild.keep(node);
    }
  }
  return step.over(rebuild.finish());
}

}  // namespace

const Pass& fuse_norm_gradient() {
  static const Pass pass{.name = "fuse_norm_gradient", .run = run, .late = true};
  return pass;
}

}  // namespace weft
