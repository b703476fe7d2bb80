// When each node of a step runs: before the micro-batches, once for each of them, or after.
#pragma once

#include <weft/graph/step.h>

#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace weft {

/// The phase of each node that computes. Before: nodes of Phase::step that a micro node needs. Micro: nodes of
/// Phase::micro and those that gather their values. After: the rest. With one micro-batch every node is after.
std::unordered_map<NodeId, Phase> phases(const Step& step);

/// Values that must keep their bytes through all micro-batches: those made before and read by them, and those that
/// gather over them. `base` gives the value that owns another's bytes.
template <class Base>
std::unordered_set<ValueRef> held_through(const Step& step, const std::unordered_map<NodeId, Phase>& phases,
                                          const Base& base) {
  std::unordered_set<ValueRef> held;
  for (const auto& [id, phase] : phases) {
    if (phase != Phase::micro) continue;
    const Node& node = step.graph.node(id);
    if (node.op->traits.gathers)
      for (std::uint32_t k = 0; k < node.types.size(); ++k) held.insert({id, k});
    for (const ValueRef& ref : node.operands) {
      if (ref.node == no_node) continue;
      const ValueRef owner = base(ref);
      const auto at = phases.find(owner.node);
      if (at != phases.end() && at->second == Phase::before) held.insert(owner);
    }
  }
  return held;
}

}  // namespace weft
