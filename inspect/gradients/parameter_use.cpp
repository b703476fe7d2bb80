#include <weft/inspect/gradients/parameter_use.h>

#include <algorithm>
#include <vector>

namespace weft {
namespace {

// Of one node that reads the parameter as operand `at`; nullopt: no units can be told from it.
std::optional<int> unit_axis_in(const Graph& graph, const ForwardValues& forward, const Node& node, std::size_t at) {
  const std::string& op = node.op->name;
  for (const ValueRef& ref : node.operands)
    if (ref.node != no_node && !is_float(graph.type(ref).dtype)) return std::nullopt;
  const int rank = graph.type(node.operands[at]).shape.rank();
  // [out, in], [out]
  if (op == "linear" || op == "feed_forward" || op == "gated_feed_forward")
    return at >= 1 ? std::optional(0) : std::nullopt;
  if (op == "matmul" && rank == 2) {
    const bool transposed = node.attributes.flag(at == 0 ? "transpose_a" : "transpose_b");
    return (at == 0) == transposed ? 1 : 0;
  }
  if (rank != 1) return std::nullopt;
  if ((op == "layer_norm" || op == "rms_norm") && at >= 1) return 0;
  if (op == "add" || op == "subtract") return 0;
  // What is multiplied by the data is a weight of its features, not a unit's.
  if (op == "multiply" && std::ranges::all_of(node.operands, [&](ValueRef ref) { return forward.learns(ref); }))
    return 0;
  return std::nullopt;
}

}  // namespace

std::int64_t examples_in(const Step& step, ValueRef ref) {
  const Shape& shape = step.graph.type(ref).shape;
  if (shape.rank() == 0) return 1;
  const std::int64_t last = shape.extent(shape.rank() - 1);
  const std::int64_t times = step.graph.node(ref.node).phase == Phase::micro ? step.micro_batches : 1;
  return last == 0 ? 0 : times * (shape.count() / last);
}

ParameterUse use_of(const Step& step, const ForwardValues& forward, const Value& parameter) {
  const Graph& graph = step.graph;
  ParameterUse use;
  bool agree = true;
  std::vector<ValueRef> open{parameter.ref()};
  for (std::size_t i = 0; i < open.size(); ++i)
    for (const NodeId id : graph.users(open[i])) {
      const Node& node = graph.node(id);
      if (!forward.learns({id, 0})) continue;
      if (node.op->traits.pointwise && node.operands.size() == 1) {
        open.push_back({id, 0});
        continue;
      }
      const auto at = static_cast<std::size_t>(std::ranges::find(node.operands, open[i]) - node.operands.begin());
      const std::optional<int> axis = unit_axis_in(graph, forward, node, at);
      agree = agree && axis && (!use.unit_axis || use.unit_axis == axis);
      use.unit_axis = axis;
      use.examples += examples_in(step, {id, 0});
    }
  if (!agree) use.unit_axis.reset();
  return use;
}

}  // namespace weft
