#include <weft/runtime/memory/phases.h>

namespace weft {

std::unordered_map<NodeId, Phase> phases(const Step& step) {
  std::unordered_map<NodeId, Phase> phase;
  const auto ids = step.graph.ids();
  for (const NodeId id : ids) {
    const Node& node = step.graph.node(id);
    if (node.op->traits.source) continue;
    const bool micro = step.micro_batches > 1 && (node.phase == Phase::micro || node.op->traits.gathers);
    phase[id] = micro ? Phase::micro : Phase::after;
  }
  if (step.micro_batches == 1) return phase;
  for (auto at = ids.rbegin(); at != ids.rend(); ++at) {
    const auto reader = phase.find(*at);
    if (reader == phase.end() || reader->second == Phase::after) continue;
    for (const ValueRef& ref : step.graph.node(*at).operands) {
      const auto read = ref.node == no_node ? phase.end() : phase.find(ref.node);
      if (read == phase.end() || read->second == Phase::before) continue;
      if (read->second == Phase::after) {
        read->second = Phase::before;
        continue;
      }
      WEFT_INVARIANT(reader->second == Phase::micro && !step.graph.node(ref.node).op->traits.gathers,
                     "'{}' must run before the micro-batches or in them and reads '{}', which they give",
                     step.graph.node(*at).name, step.graph.node(ref.node).name);
    }
  }
  return phase;
}

}  // namespace weft
