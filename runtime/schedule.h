// The order in which a lowered step runs.
#pragma once

#include <weft/graph/step.h>

#include <utility>
#include <vector>

namespace weft {

/// One node must run before another although no value flows: readers of a state before the node that overwrites it.
using OrderEdges = std::vector<std::pair<NodeId, NodeId>>;

/// Nodes that compute (sources left out), in build order.
std::vector<NodeId> computing_nodes(const Step& step);
/// Three orders are tried: build order; build order with nodes that lower the live bytes pulled forward; a list
/// scheduler that always takes the node that grows them least. The one with the lowest peak of live bytes is kept; ties
/// go to build order. All respect `edges`.
std::vector<NodeId> schedule(const Step& step, const OrderEdges& edges);
/// The largest sum of live bytes of the outputs, without sharing beyond views: what schedule() compares.
std::size_t peak_of(const Step& step, const std::vector<NodeId>& order);

}  // namespace weft
