#include <weft/autodiff/remat/cut.h>

namespace weft::remat {
namespace {

int in(int stored) { return 2 * stored + 2; }
int out(int stored) { return 2 * stored + 3; }

bool is_vertex(const RematGraph& graph, const CutOptions& options, int stored) {
  return graph.at(stored).choice && !options.saved[static_cast<std::size_t>(stored)];
}

}  // namespace

CutNetwork network_of(const RematGraph& graph, const CutOptions& options) {
  CutNetwork network;
  network.vertices = 2 * graph.size() + 2;
  for (int s = 0; s < graph.size(); ++s) {
    if (!is_vertex(graph, options, s)) continue;
    const Stored& value = graph.at(s);
    // A value of no bytes still counts: keeping it is one more thing to keep.
    network.add_edge(in(s), out(s), static_cast<std::int64_t>(value.bytes) + 1);
    if (options.banned[static_cast<std::size_t>(value.op)])
      network.add_edge(network.source, in(s), CutNetwork::unlimited);
    if (value.read_late) network.add_edge(out(s), network.sink, CutNetwork::unlimited);
    for (int read : graph.op(value.op).reads)
      if (is_vertex(graph, options, read)) network.add_edge(out(read), in(s), CutNetwork::unlimited);
  }
  return network;
}

Saved cheapest(const RematGraph& graph, const CutOptions& options) {
  const Cut cut = min_cut(network_of(graph, options));
  Saved saved = options.saved;
  for (int s = 0; s < graph.size(); ++s)
    if (is_vertex(graph, options, s) && !cut.sink_side[static_cast<std::size_t>(in(s))] &&
        cut.sink_side[static_cast<std::size_t>(out(s))])
      saved[static_cast<std::size_t>(s)] = true;
  return saved;
}

}  // namespace weft::remat
