#include <weft/runtime/schedule.h>
#include <weft/runtime/segments.h>

#include <algorithm>
#include <limits>
#include <set>
#include <unordered_map>
#include <unordered_set>

namespace weft {

std::vector<NodeId> computing_nodes(const Step& step) {
  std::vector<NodeId> nodes;
  for (NodeId id : step.graph.ids())
    if (!step.graph.node(id).op->traits.source) nodes.push_back(id);
  return nodes;
}

namespace {

constexpr std::size_t nowhere = std::numeric_limits<std::size_t>::max();

// Bytes by the value that owns them: views count as their base, sources as nothing.
struct Bytes {
  const Step& step;
  std::unordered_map<ValueRef, ValueRef> base;

  explicit Bytes(const Step& s) : step(s) {
    for (NodeId id : s.graph.ids()) {
      const Node& node = s.graph.node(id);
      for (std::uint32_t k = 0; k < node.types.size(); ++k) {
        const bool view = node.op->traits.view && k == 0;
        base[{id, k}] = view ? base.at(node.operands.front()) : ValueRef{id, k};
      }
    }
  }
  bool counts(ValueRef ref) const { return !step.graph.node(ref.node).op->traits.source; }
  std::size_t of(ValueRef ref) const { return step.graph.type(ref).bytes(); }
};

// How many nodes of the order still read each base; values that outlive the run are never freed.
std::unordered_map<ValueRef, std::size_t> count_readers(const Bytes& bytes, const std::vector<NodeId>& nodes) {
  std::unordered_map<ValueRef, std::size_t> readers;
  for (NodeId id : nodes) {
    std::set<ValueRef> read;
    for (ValueRef ref : bytes.step.graph.node(id).operands)
      if (ref.node != no_node) read.insert(bytes.base.at(ref));
    for (ValueRef ref : read) ++readers[ref];
  }
  for (const Value& root : bytes.step.roots()) readers[bytes.base.at(root.ref())] = nowhere;
  return readers;
}

struct Liveness {
  Bytes bytes;
  std::unordered_map<ValueRef, std::size_t> readers;
  std::unordered_map<NodeId, Segment> segment;
  std::unordered_set<ValueRef> held;  // through all micro-batches: the end of that segment counts as a reader
  bool inside = false;                // the micro segment
  std::size_t live = 0;

  Liveness(const Step& step, const std::vector<NodeId>& nodes)
      : bytes(step), readers(count_readers(bytes, nodes)), segment(segments(step)),
        held(held_through(step, segment, [this](ValueRef ref) { return bytes.base.at(ref); })) {
    for (ValueRef ref : held)
      if (auto& count = readers[ref]; count != nowhere) ++count;
  }

  bool gathered(ValueRef ref) const { return held.contains(ref) && segment.at(ref.node) == Segment::micro; }
  // What micro-batches are gathered into lives from the first of them on; what they all read, until the last is done.
  void pass(Segment now) {
    if (inside == (now == Segment::micro)) return;
    inside = !inside;
    for (ValueRef ref : held) {
      if (inside && gathered(ref)) live += bytes.of(ref);
      if (auto& left = readers.at(ref); !inside && left != nowhere && --left == 0) live -= bytes.of(ref);
    }
  }

  // Bases that die when `node` has run.
  template <class F>
  void for_each_freed(const Node& node, F&& visit) const {
    std::set<ValueRef> read;
    for (ValueRef ref : node.operands)
      if (ref.node != no_node) read.insert(bytes.base.at(ref));
    for (ValueRef ref : read)
      if (bytes.counts(ref) && readers.at(ref) == 1) visit(ref);
  }
  std::size_t allocated(const Node& node) const {
    std::size_t sum = 0;
    for (std::uint32_t k = 0; k < node.types.size(); ++k)
      if (bytes.base.at({node.id, k}) == ValueRef{node.id, k} && !gathered({node.id, k})) sum += bytes.of({node.id, k});
    return sum;
  }
  // Change of live bytes if `node` ran now.
  std::int64_t growth(const Node& node) const {
    auto change = static_cast<std::int64_t>(allocated(node));
    for_each_freed(node, [&](ValueRef ref) { change -= static_cast<std::int64_t>(bytes.of(ref)); });
    return change;
  }
  // Runs `node`; gives the bytes that live while it runs.
  std::size_t run(const Node& node) {
    pass(segment.at(node.id));
    live += allocated(node);
    const std::size_t peak = live;
    std::set<ValueRef> read;
    for (ValueRef ref : node.operands)
      if (ref.node != no_node) read.insert(bytes.base.at(ref));
    for (ValueRef ref : read) {
      auto& left = readers.at(ref);
      if (left == nowhere) continue;
      if (--left == 0 && bytes.counts(ref)) live -= bytes.of(ref);
    }
    for (std::uint32_t k = 0; k < node.types.size(); ++k) {  // outputs that nobody reads
      const ValueRef ref{node.id, k};
      if (bytes.base.at(ref) == ref && !readers.contains(ref)) live -= bytes.of(ref);
    }
    return peak;
  }
};

// Topological order over operands and `edges`: of the ready nodes the one that grows memory least, or the first built.
std::vector<NodeId> topological(const Step& step, const std::vector<NodeId>& nodes, const OrderEdges& edges,
                                   bool by_bytes) {
  std::unordered_map<NodeId, std::size_t> position, waits;
  for (std::size_t i = 0; i < nodes.size(); ++i) position[nodes[i]] = i;
  std::unordered_map<NodeId, std::vector<NodeId>> after;
  for (NodeId id : nodes)
    for (ValueRef ref : step.graph.node(id).operands)
      if (ref.node != no_node && position.contains(ref.node)) {
        after[ref.node].push_back(id);
        ++waits[id];
      }
  for (const auto& [before, then] : edges) {
    after[before].push_back(then);
    ++waits[then];
  }
  Liveness liveness(step, nodes);
  // By segment, then position: build order decides ties. No segment needs a later one, so it is emptied first.
  std::set<std::pair<Segment, std::size_t>> ready;
  auto enqueue = [&](std::size_t i) { ready.insert({liveness.segment.at(nodes[i]), i}); };
  for (std::size_t i = 0; i < nodes.size(); ++i)
    if (waits[nodes[i]] == 0) enqueue(i);
  std::vector<NodeId> order;
  order.reserve(nodes.size());
  while (!ready.empty()) {
    auto best = ready.begin();
    if (by_bytes) {
      std::int64_t least = std::numeric_limits<std::int64_t>::max();
      for (auto at = ready.begin(); at != ready.end() && at->first == ready.begin()->first; ++at) {
        const std::int64_t growth = liveness.growth(step.graph.node(nodes[at->second]));
        if (growth < least) {
          least = growth;
          best = at;
        }
      }
    }
    const NodeId id = nodes[best->second];
    ready.erase(best);
    order.push_back(id);
    if (by_bytes) liveness.run(step.graph.node(id));
    for (NodeId next : after[id])
      if (--waits[next] == 0) enqueue(position[next]);
  }
  WEFT_INVARIANT(order.size() == nodes.size(), "a cycle among {} nodes of a step", nodes.size() - order.size());
  return order;
}

}  // namespace

std::size_t peak_of(const Step& step, const std::vector<NodeId>& order) {
  Liveness liveness(step, order);
  std::size_t peak = 0;
  for (NodeId id : order) peak = std::max(peak, liveness.run(step.graph.node(id)));
  return peak;
}

std::vector<NodeId> schedule(const Step& step, const OrderEdges& edges) {
  const std::vector<NodeId> nodes = computing_nodes(step);
  std::vector<NodeId> built = topological(step, nodes, edges, false);
  std::vector<NodeId> greedy = topological(step, nodes, edges, true);
  return peak_of(step, greedy) < peak_of(step, built) ? greedy : built;
}

}  // namespace weft
