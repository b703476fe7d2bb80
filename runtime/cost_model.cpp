#include <weft/runtime/cost_model.h>

#include <algorithm>

namespace weft {

double predicted_seconds(const Graph& graph, const Node& node, const MachineRates& rates) {
  const Traits& traits = node.op->traits;
  if (traits.source || traits.view) return 0;
  const Cost cost = cost_of(graph.view(node)->view);
  const double flops = traits.cheap ? rates.other_flops : traits.pointwise ? rates.curve_flops : rates.product_flops;
  return std::max(cost.flops / flops, cost.bytes / rates.bytes) + rates.start;
}

double predicted_seconds(const Plan& plan, const MachineRates& rates) {
  const auto micro = static_cast<double>(plan.step.micro_batches);
  double seconds = 0;
  for (NodeId id : plan.schedule) {
    const Node& node = plan.step.graph.node(id);
    seconds += predicted_seconds(plan.step.graph, node, rates) * (node.phase == Phase::micro ? micro : 1);
  }
  return seconds;
}

}  // namespace weft
