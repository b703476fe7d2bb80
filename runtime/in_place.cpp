#include <weft/runtime/in_place.h>

namespace weft {

ValueRef base_of(const Graph& graph, ValueRef ref) {
  while (graph.node(ref.node).op->traits.view && ref.output == 0) ref = graph.node(ref.node).operands.front();
  return ref;
}

std::vector<InPlace> legal_in_place(const OpView& view, FunctionRef<bool(int, int)> share) {
  if (view.op.traits.gathers) return {};
  std::vector<InPlace> legal = in_place_of(view);
  std::erase_if(legal, [&](const InPlace& pair) {
    if (!view.has(pair.operand) || pair.output < 0 || pair.output >= static_cast<int>(view.out.size())) return true;
    const TensorType& out = view.out_type(pair.output);
    if (view.type(pair.operand).bytes() != out.bytes()) return true;
    for (int i = 0; i < view.inputs(); ++i) {
      if (i == pair.operand || !view.has(i) || !share(i, pair.operand)) continue;
      if (!view.op.traits.pointwise || view.type(i) != out) return true;
    }
    return false;
  });
  return legal;
}

std::vector<InPlace> legal_in_place(const Graph& graph, const Node& node) {
  const auto view = graph.view(node);
  const auto share = [&](int i, int j) {
    return base_of(graph, node.operands[static_cast<std::size_t>(i)]) ==
           base_of(graph, node.operands[static_cast<std::size_t>(j)]);
  };
  return legal_in_place(view->view, share);
}

}  // namespace weft
