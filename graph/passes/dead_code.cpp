#include <weft/graph/passes/dead_code.h>

#include <weft/graph/reach.h>
#include <weft/graph/rewrite.h>
#include <weft/graph/sources.h>

#include <algorithm>

namespace weft {

Step dead_code(const Step& step) {
  const Graph& graph = step.graph;
  NodeSet needed = ancestors(graph, step.roots());
  for (const NodeId id : graph.ids()) {
    const OpDef* op = graph.node(id).op;
    if (op == &parameter_op() || op == &state_op()) needed.insert(id);
  }
  if (std::ranges::all_of(graph.ids(), [&](NodeId id) { return needed.contains(id); })) return step;

  Rebuild rebuild(graph, "dead_code");
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (needed.contains(id)) rebuild.keep(node);
    else rebuild.drop(node);
  }
  return step.over(rebuild.finish());
}

}  // namespace weft
