#include <weft/graph/at_batch.h>
#include <weft/optim/fetch.h>
#include <weft/optim/gather.h>
#include <weft/optim/micro_phases.h>

#include <algorithm>
#include <optional>

namespace weft {
namespace {

bool is_cut(const Graph& graph) {
  return std::ranges::any_of(graph.ids(), [&](NodeId id) { return graph.node(id).op->traits.gathers; });
}

// A value as the step has it; with the reason why it may be gone. States are read where the batch is whole: with one
// example in a micro-batch, shapes alone may not tell which axis is the batch's.
Value of_step(const Step& step, const Value& value) {
  if (step.micro_batches == 1 || !value.valid()) return step.find(value);
  std::optional<MicroPhases> whole;
  if (!is_cut(value.graph())) whole.emplace(value.graph());
  if (whole && !step.graph.contains(value))
    WEFT_CHECK(
        !whole->mixes(value.ref()),
        "{} has no value in a step of {} micro-batches: {}; hint: fetch sums over the examples and their weights, or "
        "evaluate it for the whole batch: evaluation(loss, {{value}})",
        place_of(value.node()), step.micro_batches, whole->reason(value.ref()));
  const Value here = step.find(value);
  const Node& node = here.node();
  if (node.op->traits.source || node.phase == Phase::step) return here;
  const BatchState state = whole ? whole->state(value.ref())
                                 : batch_states(step.graph, step.micro_batches)[here.ref().node][here.ref().output];
  Graph graph = step.graph;
  const auto scope = graph.scope(node.name);
  const auto origin = graph.made_by("fetch", node.id);
  return gathered(here, state, step.micro_batches);
}

}  // namespace

Transform fetch(std::string name, Value value, std::source_location where) {
  const UserLine line(where);
  return {.name = "fetch", .claim = Claim::same_bits, .apply = [name = std::move(name), value](Step step) {
            step.set_fetch(name, of_step(step, value));
            return step;
          }};
}

Step without_results(Step step) {
  step.lowered = false;
  step.updates.clear();
  step.gradients.clear();
  step.fetches.clear();
  step.taken = step.due = Value{};
  return step;
}

}  // namespace weft
