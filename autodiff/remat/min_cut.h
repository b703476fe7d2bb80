// A minimum cut of a directed network, the one nearest to the sink: the same for every maximum flow, so the same from
// any algorithm and any version of Boost. Private to autodiff/.
#pragma once

#include <cstdint>
#include <vector>

namespace weft {

struct CutNetwork {
  struct Edge {
    int from, to;
    std::int64_t capacity;  ///< `unlimited`: never cut
  };
  static constexpr std::int64_t unlimited = -1;
  int vertices = 0;
  int source = 0, sink = 1;
  std::vector<Edge> edges;

  int add_vertex() { return vertices++; }
  void add_edge(int from, int to, std::int64_t capacity) { edges.push_back({from, to, capacity}); }
  /// What stands for `unlimited` in the flow: 1 + the sum of all other capacities.
  std::int64_t infinity() const;
};

struct Cut {
  std::int64_t flow = 0;        ///< its value; at least infinity() where there is no finite cut
  std::vector<bool> sink_side;  ///< by vertex
};

/// Boykov-Kolmogorov's maximum flow (Boost.Graph), then a search of our own backwards from the sink over edges with
/// capacity left.
Cut min_cut(const CutNetwork& network);

}  // namespace weft
