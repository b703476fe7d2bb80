#include <weft/graph/reach.h>

#include <weft/graph/graph_bgl.h>

#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/filtered_graph.hpp>
#include <boost/graph/reverse_graph.hpp>

namespace weft {
namespace {

// Breadth first over `edges`: the graph, or a view of it, whose vertices are the graph's.
template <class Edges>
NodeSet search(const Graph& graph, const Edges& edges, const std::vector<Value>& values) {
  std::vector<Vertex> starts;
  for (const Value& value : values)
    if (value.valid()) starts.push_back(vertex_of(graph, value.ref().node));
  std::vector<boost::default_color_type> colors(graph.size(), boost::white_color);
  boost::queue<Vertex> queue;
  boost::breadth_first_visit(edges, starts.begin(), starts.end(), queue, boost::default_bfs_visitor(),
                             boost::make_iterator_property_map(colors.begin(), get(boost::vertex_index, edges)));
  NodeSet found(graph);
  for (Vertex vertex = 0; vertex < colors.size(); ++vertex)
    if (colors[vertex] != boost::white_color) found.insert(graph.ids()[vertex]);
  return found;
}

// Default constructible, as the iterators of a filtered graph ask.
struct Filter {
  const BoostGraph* nodes = nullptr;
  const Along* along = nullptr;
  bool operator()(const BoostGraph::edge_descriptor& edge) const {
    const Node& operand = *(*nodes)[source(edge, *nodes)].node;
    return (*along)(*(*nodes)[target(edge, *nodes)].node, {operand.id, (*nodes)[edge].output});
  }
};

}  // namespace

NodeSet ancestors(const Graph& graph, const std::vector<Value>& values) {
  return search(graph, boost::make_reverse_graph(as_boost(graph)), values);
}

NodeSet ancestors(const Graph& graph, const std::vector<Value>& values, const Along& along) {
  const BoostGraph& nodes = as_boost(graph);
  const boost::filtered_graph<BoostGraph, Filter> edges(nodes, Filter{&nodes, &along});
  return search(graph, boost::make_reverse_graph(edges), values);
}

NodeSet descendants(const Graph& graph, const std::vector<Value>& values) {
  return search(graph, as_boost(graph), values);
}

NodeSet descendants(const Graph& graph, const std::vector<Value>& values, const Along& along) {
  const BoostGraph& nodes = as_boost(graph);
  return search(graph, boost::filtered_graph<BoostGraph, Filter>(nodes, Filter{&nodes, &along}), values);
}

}  // namespace weft
