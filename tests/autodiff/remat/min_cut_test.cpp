#include <weft/autodiff/remat/knapsack.h>
#include <weft/autodiff/remat/min_cut.h>

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/push_relabel_max_flow.hpp>

#include <support/catch.h>

#include <rapidcheck.h>

#include <algorithm>
#include <tuple>

using namespace weft;

namespace {

// The value of a maximum flow by another algorithm.
std::int64_t push_relabel(const CutNetwork& network) {
  using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
  struct Link {
    std::int64_t capacity = 0, left = 0;
    Traits::edge_descriptor reverse = {};
  };
  boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, boost::no_property, Link> net(
      static_cast<std::size_t>(network.vertices));
  for (const CutNetwork::Edge& edge : network.edges) {
    const auto from = static_cast<std::size_t>(edge.from), to = static_cast<std::size_t>(edge.to);
    const auto there = boost::add_edge(from, to, net).first, back = boost::add_edge(to, from, net).first;
    net[there] = {edge.capacity == CutNetwork::unlimited ? network.infinity() : edge.capacity, 0, back};
    net[back].reverse = there;
  }
  return boost::push_relabel_max_flow(net, static_cast<std::size_t>(network.source),
                                      static_cast<std::size_t>(network.sink), get(&Link::capacity, net),
                                      get(&Link::left, net), get(&Link::reverse, net), get(boost::vertex_index, net));
}

std::int64_t crossing(const CutNetwork& network, const Cut& cut) {
  std::int64_t sum = 0;
  for (const CutNetwork::Edge& edge : network.edges)
    if (!cut.sink_side[static_cast<std::size_t>(edge.from)] && cut.sink_side[static_cast<std::size_t>(edge.to)])
      sum += edge.capacity == CutNetwork::unlimited ? network.infinity() : edge.capacity;
  return sum;
}

// A link of a network: from, to, what it can carry; every eighth has no limit.
using Link = std::tuple<std::uint8_t, std::uint8_t, std::uint16_t>;

CutNetwork network_of(const std::vector<Link>& links) {
  CutNetwork network;
  network.vertices = 4 + static_cast<int>(links.size() / 3);
  for (const auto& [a, b, size] : links) {
    const int from = a % network.vertices, to = b % network.vertices;
    if (from == to) continue;
    // The source and the sink never stand next to each other without a limit.
    const bool limited = size % 8 != 7 || (from == network.source && to == network.sink);
    network.add_edge(from, to, limited ? size + (std::int64_t{1} << 40) : CutNetwork::unlimited);
  }
  return network;
}

}  // namespace

TEST_CASE("the value of a minimum cut is the flow of another algorithm and the capacity that crosses it",
          "[core][autodiff][checkpoint]") {
  int between = 0;  // flows that are neither 0 nor without a limit
  const bool holds = rc::check([&](const std::vector<Link>& links) {
    const CutNetwork network = network_of(links);
    const Cut cut = min_cut(network);
    RC_ASSERT(cut.flow == push_relabel(network));
    RC_ASSERT(!cut.sink_side[static_cast<std::size_t>(network.source)]);
    RC_ASSERT(cut.sink_side[static_cast<std::size_t>(network.sink)]);
    RC_ASSERT(crossing(network, cut) == cut.flow);
    between += cut.flow > 0 && cut.flow < network.infinity();
  });
  CHECK(holds);
  CHECK(between > 10);
}

TEST_CASE("among equal cuts the one nearest to the sink is taken", "[core][autodiff][checkpoint]") {
  CutNetwork network{.vertices = 4, .edges = {}};
  network.add_edge(0, 2, 7);
  network.add_edge(2, 3, 7);
  network.add_edge(3, 1, 7);
  CHECK(min_cut(network).sink_side == std::vector<bool>{false, true, false, false});
}

TEST_CASE("a network without a finite cut has a flow of infinity", "[core][autodiff][checkpoint]") {
  CutNetwork network{.vertices = 3, .edges = {}};
  network.add_edge(0, 2, CutNetwork::unlimited);
  network.add_edge(2, 1, CutNetwork::unlimited);
  network.add_edge(0, 1, 5);
  CHECK(min_cut(network).flow >= network.infinity());
}

TEST_CASE("the knapsack takes what a search of all subsets takes", "[core][autodiff][checkpoint]") {
  const bool holds = rc::check([](std::vector<std::pair<std::uint8_t, std::uint8_t>> things, std::uint8_t capacity) {
    if (things.size() > 10) things.resize(10);
    std::vector<KnapsackItem> items;
    for (const auto& [value, weight] : things) items.push_back({static_cast<double>(value), weight});
    double best = 0;
    for (std::size_t subset = 0; subset < (std::size_t{1} << items.size()); ++subset) {
      double value = 0;
      std::size_t weight = 0;
      for (std::size_t i = 0; i < items.size(); ++i)
        if ((subset >> i & 1U) != 0) {
          value += items[i].value;
          weight += items[i].weight;
        }
      if (weight <= capacity) best = std::max(best, value);
    }
    const std::vector<bool> taken =
        knapsack(items, capacity, std::max<std::size_t>(1, capacity));  // one step a unit: exact
    double value = 0;
    std::size_t weight = 0;
    for (std::size_t i = 0; i < items.size(); ++i)
      if (taken[i]) {
        value += items[i].value;
        weight += items[i].weight;
      }
    RC_ASSERT(weight <= capacity);
    RC_ASSERT(value == best);
  });
  CHECK(holds);
}
