#include <weft/autodiff/remat/min_cut.h>

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/boykov_kolmogorov_max_flow.hpp>

namespace weft {

std::int64_t CutNetwork::infinity() const {
  std::int64_t sum = 1;
  for (const Edge& edge : edges)
    if (edge.capacity != unlimited) sum += edge.capacity;
  return sum;
}

Cut min_cut(const CutNetwork& network) {
  using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
  struct Link {
    std::int64_t capacity = 0, left = 0;
    Traits::edge_descriptor reverse = {};
  };
  using Network = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, boost::no_property, Link>;
  Network net(static_cast<std::size_t>(network.vertices));
  const std::int64_t infinity = network.infinity();
  for (const CutNetwork::Edge& edge : network.edges) {
    const auto from = static_cast<std::size_t>(edge.from), to = static_cast<std::size_t>(edge.to);
    const auto there = boost::add_edge(from, to, net).first, back = boost::add_edge(to, from, net).first;
    net[there].capacity = edge.capacity == CutNetwork::unlimited ? infinity : edge.capacity;
    net[there].reverse = back;
    net[back].reverse = there;
  }
  const std::size_t count = boost::num_vertices(net);
  std::vector<boost::default_color_type> color(count);
  std::vector<std::int64_t> distance(count);
  std::vector<Traits::edge_descriptor> predecessor(count);
  const auto index = get(boost::vertex_index, net);
  Cut cut;
  cut.flow = boost::boykov_kolmogorov_max_flow(
      net, get(&Link::capacity, net), get(&Link::left, net), get(&Link::reverse, net),
      boost::make_iterator_property_map(predecessor.begin(), index),
      boost::make_iterator_property_map(color.begin(), index),
      boost::make_iterator_property_map(distance.begin(), index), index, static_cast<std::size_t>(network.source),
      static_cast<std::size_t>(network.sink));

  cut.sink_side.assign(count, false);
  std::vector<std::size_t> open{static_cast<std::size_t>(network.sink)};
  cut.sink_side[open.front()] = true;
  while (!open.empty()) {
    const std::size_t at = open.back();
    open.pop_back();
    // Whoever can still send to `at`: the reverse of each edge that leaves it.
    for (const auto& edge : boost::make_iterator_range(boost::out_edges(at, net))) {
      const auto from = boost::target(edge, net);
      if (net[net[edge].reverse].left > 0 && !cut.sink_side[from]) {
        cut.sink_side[from] = true;
        open.push_back(from);
      }
    }
  }
  return cut;
}

}  // namespace weft
