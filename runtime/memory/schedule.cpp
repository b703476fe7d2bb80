#include <weft/runtime/memory/schedule.h>
#include <weft/runtime/memory/schedulers.h>

#include <algorithm>

namespace weft {

std::vector<NodeId> computing_nodes(const Step& step) {
  std::vector<NodeId> nodes;
  for (NodeId id : step.graph.ids())
    if (!step.graph.node(id).op->traits.source) nodes.push_back(id);
  return nodes;
}

Flow::Flow(const Step& step, const OrderEdges& edges, const Decided& decided)
    : nodes(computing_nodes(step)), liveness(step, nodes, decided), before(nodes.size()), after(nodes.size()) {
  const auto add = [&](int first, int then) {
    after[static_cast<std::size_t>(first)].push_back(then);
    before[static_cast<std::size_t>(then)].push_back(first);
  };
  for (std::size_t i = 0; i < nodes.size(); ++i)
    for (ValueRef ref : step.graph.node(nodes[i]).operands)
      if (ref.node != no_node && liveness.position(ref.node) >= 0)
        add(liveness.position(ref.node), static_cast<int>(i));
  for (const auto& [first, then] : edges) add(liveness.position(first), liveness.position(then));
}

std::size_t peak_of(Flow& flow, const std::vector<int>& nodes, std::vector<std::size_t>* live) {
  flow.liveness.reset();
  std::size_t peak = 0;
  if (live != nullptr) live->clear();
  for (int at : nodes) {
    const std::size_t now = flow.liveness.run(at);
    peak = std::max(peak, now);
    if (live != nullptr) live->push_back(now);
  }
  return peak;
}

std::vector<Scheduled> schedules(const Step& step, const OrderEdges& edges, const Decided& decided, Effort effort) {
  Flow flow(step, edges, decided);
  std::vector<Order> orders;
  for (const Prefer prefer : {Prefer::built, Prefer::shrinking, Prefer::bytes})
    orders.push_back(list_order(flow, prefer));
  const auto fewer_bytes = [](const Order& a, const Order& b) { return a.peak < b.peak; };
  std::ranges::min_element(orders, fewer_bytes)->quick = true;
  if (effort == Effort::full) {
    // In nodes run: what bounds the time of the search.
    constexpr std::size_t most_work = 500'000;
    orders.push_back(reverse_order(flow));
    orders.push_back(depth_order(flow));
    std::ranges::stable_sort(orders, fewer_bytes);
    for (std::size_t i = 0; i < 2; ++i)
      for (Order& better : improve_windows(flow, orders[i], most_work)) orders.push_back(std::move(better));
  }
  std::ranges::stable_sort(orders, fewer_bytes);
  std::vector<Scheduled> result;
  for (const Order& order : orders) {
    Scheduled& made = result.emplace_back();
    made.peak = order.peak;
    made.by = order.by;
    made.quick = order.quick;
    for (int at : order.nodes) made.nodes.push_back(flow.nodes[static_cast<std::size_t>(at)]);
    if (effort == Effort::quick) break;
  }
  return result;
}

}  // namespace weft
