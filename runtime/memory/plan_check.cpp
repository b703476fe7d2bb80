// The checker of plans: it shares no code with the planner.
#include <weft/runtime/memory/plan.h>
#include <weft/runtime/tensor.h>

namespace weft {
namespace {

void check_offsets(const Plan& plan) {
  const Graph& graph = plan.step.graph;
  for (std::size_t a = 0; a < plan.storages.size(); ++a) {
    const Storage& x = plan.storages[a];
    if (x.kind != StorageKind::arena || x.bytes == 0) continue;
    WEFT_INVARIANT(x.offset % alignment == 0 && x.offset + x.bytes <= plan.arena_bytes, "storage {} at {}", a,
                   x.offset);
    for (std::size_t b = a + 1; b < plan.storages.size(); ++b) {
      const Storage& y = plan.storages[b];
      if (y.kind != StorageKind::arena || y.bytes == 0 || x.last < y.first || y.last < x.first) continue;
      WEFT_INVARIANT(x.offset + x.bytes <= y.offset || y.offset + y.bytes <= x.offset,
                     "storages of {} and {} live at once and share bytes", graph.value(x.owner).name(),
                     graph.value(y.owner).name());
    }
  }
}

// Runs the schedule on names instead of numbers: each storage remembers which value was written to it last, and in
// which micro-batch.
class Replay {
 public:
  explicit Replay(const Plan& plan) : plan_(plan), graph_(plan.step.graph), content_(plan.storages.size()) {
    for (const auto& [ref, storage] : plan.storage_of)
      if (graph_.node(ref.node).op->traits.source) content_[storage] = {ref, -1, true};
  }

  void run() {
    const std::size_t size = plan_.schedule.size();
    const bool several = plan_.step.micro_batches > 1;
    WEFT_INVARIANT(several || plan_.micro_begin == plan_.micro_end, "a segment for micro-batches in a step without");
    WEFT_INVARIANT(plan_.micro_begin <= plan_.micro_end && plan_.micro_end <= size, "micro-batches at [{}, {}) of {}",
                   plan_.micro_begin, plan_.micro_end, size);
    for (std::size_t i = 0; i < size; ++i) check_phase(i, several);
    positions(0, plan_.micro_begin, -1);
    // Twice shows all that a third would: the second meets what the first left behind.
    for (int batch = 0; several && batch < 2; ++batch) positions(plan_.micro_begin, plan_.micro_end, batch);
    positions(plan_.micro_end, size, -1);
    for (const Fetch& fetch : plan_.step.fetches)
      WEFT_INVARIANT(holds(fetch.value.ref()), "the fetch '{}' was overwritten", fetch.name);
    for (const Update& update : plan_.step.updates)
      WEFT_INVARIANT(holds(update.value.ref()), "the update of {} was overwritten", update.state.name());
  }

 private:
  struct Content {
    ValueRef value;
    int batch = -1;  // the micro-batch that wrote it; -1: outside of them
    bool written = false;
  };

  ValueRef base(ValueRef ref) const {
    while (graph_.node(ref.node).op->traits.view && ref.output == 0) ref = graph_.node(ref.node).operands.front();
    return ref;
  }
  const Content& content(ValueRef ref) const { return content_[plan_.storage_of.at(ref)]; }
  bool holds(ValueRef ref) const { return content(ref).written && content(ref).value == base(ref); }

  void check_phase(std::size_t position, bool several) const {
    const Node& node = graph_.node(plan_.schedule[position]);
    const bool inside = plan_.micro_begin <= position && position < plan_.micro_end;
    const bool belongs = several && (node.phase == Phase::micro || node.op->traits.gathers);
    WEFT_INVARIANT(inside == belongs, "'{}' runs {} the micro-batches", node.name, inside ? "with" : "outside of");
  }

  void positions(std::size_t begin, std::size_t end, int batch) {
    for (std::size_t i = begin; i < end; ++i) {
      const Node& node = graph_.node(plan_.schedule[i]);
      for (ValueRef ref : node.operands)
        if (ref.node != no_node) read(node, ref, i, batch);
      for (std::uint32_t k = 0; k < node.types.size(); ++k)
        if (!node.op->traits.view || k > 0) write(node, {node.id, k}, batch);
    }
  }

  void read(const Node& node, ValueRef ref, std::size_t position, int batch) const {
    const Storage& storage = plan_.storage(ref);
    const std::string name = graph_.value(ref).name();
    WEFT_INVARIANT(holds(ref), "{} reads {}, whose bytes hold something else", node.name, name);
    WEFT_INVARIANT(storage.kind != StorageKind::arena || (storage.first <= position && position <= storage.last),
                   "{} reads {} outside its life", node.name, name);
    if (batch >= 0 && content(ref).batch < 0) check_held(storage, name);
    const Node& from = graph_.node(base(ref).node);
    const bool micro = plan_.step.micro_batches > 1 && from.phase == Phase::micro && !from.op->traits.source;
    WEFT_INVARIANT(!micro || (batch >= 0 && content(ref).batch == batch), "{} reads {} of another micro-batch",
                   node.name, name);
  }

  void write(const Node& node, ValueRef ref, int batch) {
    Content& target = content_[plan_.storage_of.at(ref)];
    // From the second micro-batch on, what gathers reads what it wrote before.
    WEFT_INVARIANT(!node.op->traits.gathers || batch <= 0 || holds(ref),
                   "{} gathers into bytes that hold something else", node.name);
    if (node.op->traits.gathers && batch >= 0) check_held(plan_.storage(ref), graph_.value(ref).name());
    target = {ref, batch, true};
  }

  // What all micro-batches read or write lives through all of them.
  void check_held(const Storage& storage, const std::string& name) const {
    WEFT_INVARIANT(storage.kind != StorageKind::arena ||
                       (storage.first <= plan_.micro_begin && storage.last + 1 >= plan_.micro_end),
                   "{} lives for a part of the micro-batches", name);
  }

  const Plan& plan_;
  const Graph& graph_;
  std::vector<Content> content_;
};

}  // namespace

void check_plan(const Plan& plan) {
  check_offsets(plan);
  Replay(plan).run();
}

}  // namespace weft
