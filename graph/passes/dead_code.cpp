#include <weft/graph/passes/dead_code.h>

#include <weft/graph/graph_bgl.h>
#include <weft/graph/rewrite.h>
#include <weft/graph/sources.h>

#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/reverse_graph.hpp>

#include <algorithm>

namespace weft {

std::vector<bool> needed_by(const Graph& graph, const std::vector<Value>& roots) {
  const auto uses = boost::make_reverse_graph(as_boost(graph));
  std::vector<Vertex> starts;
  for (const Value& root : roots)
    if (root.valid()) starts.push_back(vertex_of(graph, root.ref().node));
  std::vector<boost::default_color_type> colors(graph.size(), boost::white_color);
  boost::queue<Vertex> queue;
  boost::breadth_first_visit(uses, starts.begin(), starts.end(), queue, boost::default_bfs_visitor(),
                             boost::make_iterator_property_map(colors.begin(), get(boost::vertex_index, uses)));
  std::vector<bool> needed;
  needed.reserve(colors.size());
  for (const auto color : colors) needed.push_back(color != boost::white_color);
  return needed;
}

Step dead_code(const Step& step) {
  const Graph& graph = step.graph;
  std::vector<bool> needed = needed_by(graph, step.roots());
  const auto ids = graph.ids();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const OpDef* op = graph.node(ids[i]).op;
    if (op == &parameter_op() || op == &state_op()) needed[i] = true;
  }
  if (std::ranges::all_of(needed, [](bool keep) { return keep; })) return step;

  Rebuild rebuild(graph, "dead_code");
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Node& node = graph.node(ids[i]);
    if (needed[i]) rebuild.keep(node);
    else rebuild.drop(node);
  }
  return step.over(rebuild.finish());
}

}  // namespace weft
