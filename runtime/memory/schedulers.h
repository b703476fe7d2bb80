// Schedulers: orders of the nodes of a step. Each is deterministic and gives a topological order over operands and
// order edges, phase by phase. Private to runtime/.
#pragma once

#include <weft/runtime/memory/liveness.h>
#include <weft/runtime/memory/schedule.h>

#include <string>
#include <vector>

namespace weft {

/// The input of a scheduler. Nodes are positions in build order.
struct Flow {
  Flow(const Step& step, const OrderEdges& edges, const Decided& decided);

  std::vector<NodeId> nodes;
  Liveness liveness;
  std::vector<std::vector<int>> before,
      after;  ///< what must run earlier, what may only run later; operands twice count twice
};

struct Order {
  std::vector<int> nodes = {};
  std::size_t peak = 0;  ///< largest sum of live bytes
  std::string by = {};   ///< the name of its scheduler
  bool quick = false;
};

/// Which of the ready nodes runs next.
enum class Prefer {
  built,      ///< the first built
  shrinking,  ///< one that lowers the live bytes, by the most first; else the first built
  bytes       ///< the one that grows the live bytes least
};

/// List scheduling from the start.
Order list_order(Flow& flow, Prefer prefer);
/// List scheduling from the end: of the nodes whose readers are all placed, the one before which the fewest bytes are
/// live.
Order reverse_order(Flow& flow);
/// Depth-first from the nodes that nothing reads, operands of most bytes first.
Order depth_order(Flow& flow);
/// The peak of an order, and the live bytes at each node if asked for.
std::size_t peak_of(Flow& flow, const std::vector<int>& nodes, std::vector<std::size_t>* live = nullptr);

/// Lowers the peak: around the positions with most live bytes, up to ten groups of neighbours (of one node, of two, of
/// four, ...) are re-ordered by exact search, while the peak falls. `work` bounds it, in nodes run. Returns the orders
/// found meanwhile, each with a peak at least a hundredth lower than the one before; the last has the lowest.
std::vector<Order> improve_windows(Flow& flow, Order order, std::size_t work);

}  // namespace weft
