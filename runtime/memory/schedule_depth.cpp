#include <weft/runtime/memory/schedulers.h>

#include <algorithm>

namespace weft {

Order depth_order(Flow& flow) {
  const Liveness& liveness = flow.liveness;
  const std::size_t size = flow.nodes.size();
  std::vector<std::size_t> made(size, 0);  // bytes
  for (std::size_t i = 0; i < size; ++i)
    for (int write : liveness.writes(static_cast<int>(i))) made[i] += liveness.bytes(write);
  std::vector<std::vector<int>> before = flow.before;
  for (std::vector<int>& operands : before)
    std::ranges::stable_sort(
        operands, [&](int a, int b) { return made[static_cast<std::size_t>(a)] > made[static_cast<std::size_t>(b)]; });
  std::vector<std::size_t> next(size, 0);  // operand of a node that is looked at next
  std::vector<char> seen(size, 0);
  Order order{.by = "depth-first"};
  order.nodes.reserve(size);
  std::vector<int> open;
  for (const Phase phase : {Phase::before, Phase::micro, Phase::after})
    for (std::size_t i = 0; i < size; ++i) {
      const int root = static_cast<int>(i);
      const bool read_here =
          std::ranges::any_of(flow.after[i], [&](int reader) { return liveness.phase(reader) == phase; });
      if (liveness.phase(root) != phase || read_here) continue;
      open.push_back(root);
      seen[i] = 1;
      while (!open.empty()) {
        const auto at = static_cast<std::size_t>(open.back());
        if (next[at] == before[at].size()) {
          order.nodes.push_back(open.back());
          open.pop_back();
          continue;
        }
        const int operand = before[at][next[at]++];
        if (seen[static_cast<std::size_t>(operand)] != 0) continue;
        seen[static_cast<std::size_t>(operand)] = 1;
        open.push_back(operand);
      }
    }
  WEFT_INVARIANT(order.nodes.size() == size, "depth-first reaches {} of {} nodes", order.nodes.size(), size);
  order.peak = peak_of(flow, order.nodes);
  return order;
}

}  // namespace weft
