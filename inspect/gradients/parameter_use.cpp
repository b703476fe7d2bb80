#include <weft/inspect/gradients/parameter_use.h>

#include <algorithm>
#include <vector>

namespace weft {
namespace {

// Whether every operand that decides, with operand `at`, what the node gives is made from parameters.
bool learns_all_beside(const ForwardValues& forward, const Node& node, const OpView& view, int at) {
  const std::vector<Term> terms = terms_of(view);
  const auto learns = [&](int i) { return forward.learns(node.operands[static_cast<std::size_t>(i)]); };
  if (terms.empty()) {
    for (int i = 0; i < view.inputs(); ++i)
      if (view.has(i) && !learns(i)) return false;
    return true;
  }
  return std::ranges::all_of(terms, [&](const Term& term) {
    std::vector<int> operands = term.factors;
    for (const std::vector<int>& product : term.inner) operands.insert(operands.end(), product.begin(), product.end());
    return std::ranges::find(operands, at) == operands.end() || std::ranges::all_of(operands, learns);
  });
}

// Of one node that reads the parameter as operand `at`; nullopt: no units can be told from it.
std::optional<int> unit_axis_in(const Graph& graph, const ForwardValues& forward, const Node& node, std::size_t at) {
  const auto view = graph.view(node);
  const int operand = static_cast<int>(at);
  const std::vector<UnitAxis> units = units_of(view->view);
  const auto found = std::ranges::find(units, operand, &UnitAxis::operand);
  if (found == units.end()) return std::nullopt;
  // What meets the data element by element is a weight of its features, not a unit's.
  if (node.op->traits.pointwise && !learns_all_beside(forward, node, view->view, operand)) return std::nullopt;
  return found->axis;
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
