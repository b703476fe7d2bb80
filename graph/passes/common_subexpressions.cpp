#include <weft/graph/passes/common_subexpressions.h>

#include <weft/graph/passes/equal_nodes.h>
#include <weft/graph/rewrite.h>

#include <algorithm>

namespace weft {

Step common_subexpressions(const Step& step) {
  const Graph& graph = step.graph;
  const std::vector<NodeId> first = equal_nodes(graph);
  if (std::ranges::all_of(graph.ids(), [&](NodeId id) { return first[id] == id; })) return step;
  Rebuild rebuild(graph, "common_subexpressions");
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (first[id] == id) {
      rebuild.keep(node);
      continue;
    }
    std::vector<Value> values;
    for (std::uint32_t k = 0; k < node.types.size(); ++k) values.push_back(rebuild.map({first[id], k}));
    rebuild.replace(node, values);
  }
  return step.over(rebuild.finish());
}

}  // namespace weft
