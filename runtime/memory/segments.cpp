#include <weft/runtime/memory/segments.h>

namespace weft {

std::unordered_map<NodeId, Segment> segments(const Step& step) {
  std::unordered_map<NodeId, Segment> segment;
  const auto ids = step.graph.ids();
  for (const NodeId id : ids) {
    const Node& node = step.graph.node(id);
    if (node.op->traits.source) continue;
    const bool micro = step.micro_batches > 1 && (node.phase == Phase::micro || node.op->traits.gathers);
    segment[id] = micro ? Segment::micro : Segment::after;
  }
  if (step.micro_batches == 1) return segment;
  for (auto at = ids.rbegin(); at != ids.rend(); ++at) {
    const auto reader = segment.find(*at);
    if (reader == segment.end() || reader->second == Segment::after) continue;
    for (const ValueRef& ref : step.graph.node(*at).operands) {
      const auto read = ref.node == no_node ? segment.end() : segment.find(ref.node);
      if (read == segment.end() || read->second == Segment::before) continue;
      if (read->second == Segment::after) {
        read->second = Segment::before;
        continue;
      }
      WEFT_INVARIANT(reader->second == Segment::micro && !step.graph.node(ref.node).op->traits.gathers,
                     "'{}' must run before the micro-batches or in them and reads '{}', which they give",
                     step.graph.node(*at).name, step.graph.node(ref.node).name);
    }
  }
  return segment;
}

}  // namespace weft
