#include <weft/graph/pass.h>
#include <weft/ops/fuse/fusion.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/step/adamw.h>

namespace weft {
namespace {

// g * f or f * g, where f is a scalar and g is not.
std::optional<Change> with_factor(const Graph& graph, const Readers& readers, const Node& node) {
  constexpr std::size_t gradient = 1, factor = 7;
  if (node.op != &adamw_op() || (node.operands.size() > factor && node.operands[factor].node != no_node)) return {};
  const ValueRef scaled = node.operands[gradient];
  const Node& product = graph.node(scaled.node);
  if (product.op != &multiply_op() || product.phase != node.phase || !readers.one(scaled)) return {};
  for (const std::size_t scalar : {std::size_t{1}, std::size_t{0}}) {
    if (graph.type(product.operands[scalar]).shape.rank() != 0) continue;
    if (graph.type(product.operands[1 - scalar]) != graph.type(scaled)) continue;
    Node fused = node;
    fused.operands.resize(factor + 1, ValueRef{});
    fused.operands[gradient] = product.operands[1 - scalar];
    fused.operands[factor] = product.operands[scalar];
    return Change{fused, {product.id}};
  }
  return {};
}

}  // namespace

const Pass& fuse_adamw_factor() {
  static const Pass pass{.name = "fuse_adamw_factor",
                         .run = [](const Step& step) { return change_nodes(step, "fuse_adamw_factor", with_factor); },
                         .late = true};
  return pass;
}

}  // namespace weft
