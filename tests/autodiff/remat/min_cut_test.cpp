#include <weft/autodiff/remat/knapsack.h>
#include <weft/autodiff/remat/min_cut.h>

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/push_relabel_max_flow.hpp>

#include <support/catch.h>

#include <random>

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

CutNetwork random_network(std::mt19937& random) {
  CutNetwork network;
  network.vertices = 4 + static_cast<int>(random() % 30);
  const int edges = 3 * network.vertices;
  for (int i = 0; i < edges; ++i) {
    const int from = static_cast<int>(random() % static_cast<unsigned>(network.vertices));
    const int to = static_cast<int>(random() % static_cast<unsigned>(network.vertices));
    if (from == to) continue;
    // The source and the sink never stand next to each other without a limit.
    const bool limited = random() % 4 != 0 || (from == network.source && to == network.sink);
    network.add_edge(
        from, to,
        limited ? static_cast<std::int64_t>(random() % 1000) + (std::int64_t{1} << 40) : CutNetwork::unlimited);
  }
  return network;
}

}  // namespace

TEST_CASE("the value of a minimum cut is the flow of another algorithm and the capacity that crosses it",
          "[core][autodiff][checkpoint]") {
  std::mt19937 random(3);
  int finite = 0;
  for (int trial = 0; trial < 300; ++trial) {
    const CutNetwork network = random_network(random);
    const Cut cut = min_cut(network);
    CHECK(cut.flow == push_relabel(network));
    CHECK_FALSE(cut.sink_side[static_cast<std::size_t>(network.source)]);
    CHECK(cut.sink_side[static_cast<std::size_t>(network.sink)]);
    CHECK(crossing(network, cut) == cut.flow);
    finite += cut.flow < network.infinity();
  }
  CHECK(finite > 50);
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
  std::mt19937 random(5);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<KnapsackItem> items(1 + random() % 10);
    for (KnapsackItem& item : items) item = {static_cast<double>(random() % 100), random() % 50};
    const std::size_t capacity = random() % 120;
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
    CHECK(weight <= capacity);
    CHECK(value == best);
  }
}
