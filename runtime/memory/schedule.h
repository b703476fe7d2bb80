// The order in which a lowered step runs. Not in <weft/weft.h>.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/memory/plan.h>

#include <string>
#include <utility>
#include <vector>

namespace weft {

struct Decided;  // runtime/memory/liveness.h

/// Pairs (first, then) of nodes that must run in this order although no value flows between them: readers of a state
/// before the node that overwrites it.
using OrderEdges = std::vector<std::pair<NodeId, NodeId>>;

struct Scheduled {
  std::vector<NodeId> nodes;
  std::size_t peak = 0;  ///< the largest sum of live bytes: Plan::lower_bound of a plan with this order
  std::string by;        ///< the name of its scheduler
  bool quick = false;    ///< one that Effort::quick takes
};

/// Nodes that compute (sources left out), in build order.
std::vector<NodeId> computing_nodes(const Step& step);
/// Orders by the schedulers of runtime/memory/schedulers.h, the lowest peak first, ties to build order. All respect
/// `edges`. Quick: the best of three list schedules. Full: those three, others, and the best improved around their
/// peaks.
std::vector<Scheduled> schedules(const Step& step, const OrderEdges& edges, const Decided& decided, Effort effort);

}  // namespace weft
