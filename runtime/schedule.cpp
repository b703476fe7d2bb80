#include <weft/runtime/liveness.h>
#include <weft/runtime/schedule.h>

#include <algorithm>
#include <set>
#include <tuple>

namespace weft {

std::vector<NodeId> computing_nodes(const Step& step) {
  std::vector<NodeId> nodes;
  for (NodeId id : step.graph.ids())
    if (!step.graph.node(id).op->traits.source) nodes.push_back(id);
  return nodes;
}

namespace {

// By which a node is taken among those that are ready.
enum class Prefer {
  built,      // the first built
  shrinking,  // one that lowers the live bytes, the most first; else the first built
  bytes       // the one that grows the live bytes least
};

struct Order {
  std::vector<NodeId> nodes;
  std::size_t peak = 0;
};

// Topological orders over operands and `edges`, segment by segment (no segment needs a later one); ties go to build
// order.
class Scheduler {
 public:
  Scheduler(const Step& step, const OrderEdges& edges)
      : nodes_(computing_nodes(step)), liveness_(step, nodes_), after_(nodes_.size()), waits_(nodes_.size(), 0) {
    for (std::size_t i = 0; i < nodes_.size(); ++i)
      for (ValueRef ref : step.graph.node(nodes_[i]).operands)
        if (ref.node != no_node && liveness_.position(ref.node) >= 0)
          add(liveness_.position(ref.node), static_cast<int>(i));
    for (const auto& [before, then] : edges) add(liveness_.position(before), liveness_.position(then));
  }

  Order run(Prefer prefer) {
    liveness_.reset();
    std::vector<int> waits = waits_, changed;
    std::vector<std::int64_t> key(nodes_.size(), 0);
    std::set<std::tuple<Segment, std::int64_t, int>> ready;  // (segment, key, position)
    std::vector<bool> is_ready(nodes_.size(), false);
    auto key_of = [&](int at) {
      const std::int64_t growth = prefer == Prefer::built ? 0 : liveness_.growth(at);
      return prefer == Prefer::shrinking ? std::min<std::int64_t>(growth, 0) : growth;
    };
    auto enqueue = [&](int at) {
      key[static_cast<std::size_t>(at)] = key_of(at);
      is_ready[static_cast<std::size_t>(at)] = true;
      ready.emplace(liveness_.segment(at), key[static_cast<std::size_t>(at)], at);
    };
    for (std::size_t i = 0; i < nodes_.size(); ++i)
      if (waits[i] == 0) enqueue(static_cast<int>(i));
    Order order;
    order.nodes.reserve(nodes_.size());
    while (!ready.empty()) {
      const int at = std::get<2>(*ready.begin());
      ready.erase(ready.begin());
      is_ready[static_cast<std::size_t>(at)] = false;
      order.nodes.push_back(nodes_[static_cast<std::size_t>(at)]);
      changed.clear();
      order.peak = std::max(order.peak, liveness_.run(at, prefer == Prefer::built ? nullptr : &changed));
      for (int other : changed)
        if (is_ready[static_cast<std::size_t>(other)]) {
          ready.erase({liveness_.segment(other), key[static_cast<std::size_t>(other)], other});
          enqueue(other);
        }
      for (int next : after_[static_cast<std::size_t>(at)])
        if (--waits[static_cast<std::size_t>(next)] == 0) enqueue(next);
    }
    WEFT_INVARIANT(order.nodes.size() == nodes_.size(), "a cycle among {} nodes of a step",
                   nodes_.size() - order.nodes.size());
    return order;
  }

 private:
  void add(int before, int then) {
    after_[static_cast<std::size_t>(before)].push_back(then);
    ++waits_[static_cast<std::size_t>(then)];
  }

  std::vector<NodeId> nodes_;
  Liveness liveness_;
  std::vector<std::vector<int>> after_;
  std::vector<int> waits_;
};

}  // namespace

std::size_t peak_of(const Step& step, const std::vector<NodeId>& order) {
  Liveness liveness(step, order);
  std::size_t peak = 0;
  for (NodeId id : order) peak = std::max(peak, liveness.run(liveness.position(id)));
  return peak;
}

std::vector<NodeId> schedule(const Step& step, const OrderEdges& edges) {
  Scheduler scheduler(step, edges);
  Order best = scheduler.run(Prefer::built);
  for (Prefer prefer : {Prefer::shrinking, Prefer::bytes}) {
    Order order = scheduler.run(prefer);
    if (order.peak < best.peak) best = std::move(order);
  }
  return std::move(best.nodes);
}

}  // namespace weft
