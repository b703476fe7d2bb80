// The parts of a run of several micro-batches: what comes before them, what runs once for each, what comes after.
// Not in <weft/weft.h>.
#pragma once

#include <weft/graph/step.h>

#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace weft {

enum class Segment : std::uint8_t { before, micro, after };

/// The segment of each node that computes. Before: nodes of Phase::step that a micro node needs. Micro: nodes of
/// Phase::micro and what gathers their values. After: the rest. One micro-batch: everything is after.
std::unordered_map<NodeId, Segment> segments(const Step& step);

/// Values that must keep their bytes through all micro-batches: those made before and read by them, and those that
/// gather over them. `base` gives the value that owns another's bytes.
template <class Base>
std::unordered_set<ValueRef> held_through(const Step& step, const std::unordered_map<NodeId, Segment>& segment,
                                          const Base& base) {
  std::unordered_set<ValueRef> held;
  for (const auto& [id, where] : segment) {
    if (where != Segment::micro) continue;
    const Node& node = step.graph.node(id);
    if (node.op->traits.gathers)
      for (std::uint32_t k = 0; k < node.types.size(); ++k) held.insert({id, k});
    for (const ValueRef& ref : node.operands) {
      if (ref.node == no_node) continue;
      const ValueRef owner = base(ref);
      const auto at = segment.find(owner.node);
      if (at != segment.end() && at->second == Segment::before) held.insert(owner);
    }
  }
  return held;
}

}  // namespace weft
