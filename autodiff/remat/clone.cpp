#include <weft/autodiff/remat/clone.h>
#include <weft/graph/rewrite.h>

#include <algorithm>
#include <limits>
#include <map>

namespace weft::remat {

std::vector<int> segments(const RematGraph& graph, const std::vector<int>& cuts, const Saved& saved) {
  std::vector<int> begins(graph.stored.size(), 0);  // the stretch that starts at a stored value; 0: none
  int count = 0;
  for (int cut : cuts)
    if (saved[static_cast<std::size_t>(cut)] || !graph.at(cut).choice) begins[static_cast<std::size_t>(cut)] = ++count;
  std::vector<int> segment(graph.ops.size(), 0);
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const Op& op = graph.ops[i];
    int last = 0, earliest = std::numeric_limits<int>::max();
    for (int read : op.reads) {
      const auto maker = static_cast<std::size_t>(graph.at(read).op);
      const int of_read = std::max(segment[maker], begins[static_cast<std::size_t>(read)]);
      last = std::max(last, of_read);
      if (!graph.ops[maker].forward) earliest = std::min(earliest, segment[maker]);
    }
    if (op.forward) {
      segment[i] = last;
      continue;
    }
    const NodeId origin = graph.origin[i];
    const bool known = origin != no_node && graph.op_of.contains(origin);
    const int own = known ? segment[static_cast<std::size_t>(graph.op_of.at(origin))] : last;
    segment[i] = std::min(own, earliest);
  }
  return segment;
}

namespace {

struct Event {
  int op;
  int segment;               // nothing: the original
  std::uint32_t unread = 0;  // outputs that nobody reads
};

// What runs, in order, by index: decided before a node is built.
class Sequence {
 public:
  Sequence(const RematGraph& graph, const std::vector<int>& segments, const Saved& saved)
      : graph_(graph), segments_(segments), saved_(saved) {}

  std::vector<Event> run() {
    for (int i = 0; i < static_cast<int>(graph_.ops.size()); ++i) {
      if (!graph_.op(i).forward) make_operands(i, segments_[static_cast<std::size_t>(i)]);
      events.push_back({i, nothing});
    }
    return prune();
  }

  /// Whether a node in the backward pass reads a clone where the original reads `ref`.
  bool again(ValueRef ref) const {
    const int op = graph_.op_of.at(ref.node);
    if (!graph_.op(op).forward) return false;
    const int stored = graph_.stored_of[static_cast<std::size_t>(op)][ref.output];
    return graph_.at(stored).choice && !saved_[static_cast<std::size_t>(stored)];
  }

 private:
  static std::uint32_t bit(std::uint32_t output) { return 1U << std::min(output, 31U); }
  const Node& node(int op) const { return graph_.step.graph.node(graph_.op(op).id); }

  // Clones of what `reader` needs in its segment, operands first.
  void make_operands(int reader, int segment) {
    std::vector<int> open;
    auto ask = [&](int op) {
      const std::size_t before = open.size();
      for (ValueRef ref : node(op).operands)
        if (ref.node != no_node && again(ref) && !made_.contains({segment, graph_.op_of.at(ref.node)}))
          open.push_back(graph_.op_of.at(ref.node));
      std::reverse(open.begin() + static_cast<std::ptrdiff_t>(before), open.end());
      return open.size() > before;
    };
    ask(reader);
    while (!open.empty()) {
      const int op = open.back();
      if (made_.contains({segment, op})) open.pop_back();
      else if (!ask(op)) {
        events.push_back({op, segment});
        made_.emplace(std::pair{segment, op}, true);
        open.pop_back();
      }
    }
  }

  // Forward nodes that only clones' originals needed go. Which outputs are read is seen on the way.
  std::vector<Event> prune() const {
    std::vector<std::uint32_t> read(graph_.ops.size(), 0);    // of originals, a bit an output
    std::map<std::pair<int, int>, std::uint32_t> read_again;  // of clones, by (segment, op)
    for (const Value& root : graph_.step.roots())
      read[static_cast<std::size_t>(graph_.op_of.at(root.ref().node))] |= bit(root.ref().output);
    std::vector<Event> kept;
    for (auto event = events.rbegin(); event != events.rend(); ++event) {
      const Op& op = graph_.op(event->op);
      const bool original = event->segment == nothing;
      const bool source = op.writes.size() == 1 && graph_.at(op.writes.front()).free;
      const int segment = original ? segments_[static_cast<std::size_t>(event->op)] : event->segment;
      const std::uint32_t own = original ? read[static_cast<std::size_t>(event->op)] : read_again[{segment, event->op}];
      if (original && op.forward && !source && own == 0) continue;
      kept.push_back(*event);
      const std::size_t outputs = node(event->op).types.size();
      kept.back().unread = outputs < 32 ? ~own & ((1U << outputs) - 1U) : 0;
      for (ValueRef ref : node(event->op).operands) {
        if (ref.node == no_node) continue;
        const int maker = graph_.op_of.at(ref.node);
        const bool clone = !(original && op.forward) && again(ref);
        (clone ? read_again[{segment, maker}] : read[static_cast<std::size_t>(maker)]) |= bit(ref.output);
      }
    }
    std::reverse(kept.begin(), kept.end());
    return kept;
  }

  const RematGraph& graph_;
  const std::vector<int>& segments_;
  const Saved& saved_;
  std::vector<Event> events;
  std::map<std::pair<int, int>, bool> made_;  // (segment, op)
};

}  // namespace

Step with_clones(const RematGraph& graph, const std::vector<int>& segments, const Saved& saved, Clones* clones) {
  Sequence sequence(graph, segments, saved);
  const std::vector<Event> events = sequence.run();
  Rebuild rebuild(graph.step.graph, "checkpoint");
  std::map<std::pair<int, int>, NodeId> made;  // (segment, op) -> clone
  if (clones != nullptr) *clones = {{}, Saved(graph.stored.size(), false), 0};
  for (const Event& event : events) {
    const Op& op = graph.op(event.op);
    const Node& node = graph.step.graph.node(op.id);
    const bool original = event.segment == nothing;
    const int segment = original ? segments[static_cast<std::size_t>(event.op)] : event.segment;
    if (clones != nullptr)
      clones->seconds += (original ? op.seconds : graph.seconds_of(event.op, event.unread)) *
                         static_cast<double>(node.phase == Phase::micro ? graph.step.micro_batches : 1);
    if (original && op.forward) {
      rebuild.keep(node);
      continue;
    }
    bool changed = false;
    std::vector<ValueRef> operands;
    for (ValueRef ref : node.operands) {
      if (ref.node == no_node || !sequence.again(ref)) {
        operands.push_back(ref.node == no_node ? ref : rebuild.map(ref).ref());
        if (ref.node != no_node && clones != nullptr)
          if (const auto read = static_cast<std::size_t>(graph.stored_at(ref)); graph.stored[read].choice)
            clones->used[read] = true;
        continue;
      }
      operands.push_back({made.at({segment, graph.op_of.at(ref.node)}), ref.output});
      changed = true;
    }
    if (original) {
      if (!changed) {
        rebuild.keep(node);
        continue;
      }
      Node copy = node;
      copy.operands = std::move(operands);
      rebuild.keep_as(std::move(copy));
      continue;
    }
    const Scope place = rebuild.in_place_of(node);
    const Scope scope = rebuild.to().scope("recomputed");
    Values values;
    const Attributes attributes = event.unread == 0
                                      ? node.attributes
                                      : node.attributes.with(unread_outputs, static_cast<std::int64_t>(event.unread));
    for (ValueRef ref : operands) values.push_back(ref.node == no_node ? Value{} : rebuild.to().value(ref));
    made[{segment, event.op}] = rebuild.to().apply(*node.op, values, attributes, node.where).front().ref().node;
    if (clones != nullptr) clones->ops.push_back(event.op);
  }
  Step result = graph.step.over(rebuild.finish());
  result.lowered = true;
  return result;
}

}  // namespace weft::remat
