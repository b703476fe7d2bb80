#include <weft/graph/at_batch.h>
#include <weft/optim/micro_phases.h>

#include <algorithm>

namespace weft {
namespace {

using Kind = BatchState::Kind;

std::string describe(const Graph& graph, const Node& node, const std::vector<std::vector<BatchState>>& states) {
  std::string text;
  for (const ValueRef& ref : node.operands)
    if (ref.node != no_node && states[ref.node][ref.output].kind != Kind::free)
      text += fmt::format("{}{} is {}", text.empty() ? "" : ", ", graph.value(ref).name(),
                          states[ref.node][ref.output].str());
  return text;
}

}  // namespace

std::string place_of(const Node& node) { return fmt::format("{} ({})", node.name, str(node.where)); }

MicroPhases::MicroPhases(const Graph& graph)
    : states_(batch_states(graph)),
      phases_(graph.next_id()),
      reasons_(graph.next_id()),
      causes_(graph.next_id(), no_node) {
  for (const NodeId id : graph.ids()) set_phases(graph, graph.node(id));
}

void MicroPhases::set_phases(const Graph& graph, const Node& node) {
  const std::vector<BatchState>& states = states_[node.id];
  std::vector<std::optional<Phase>>& phases = phases_[node.id];
  phases.assign(states.size(), Phase::before);
  auto mix = [&](std::string reason) {
    reasons_[node.id] = std::move(reason);
    causes_[node.id] = node.id;
  };

  const ValueRef* after = nullptr;
  bool reads_micro = false, only_sums = true;
  for (const ValueRef& ref : node.operands) {
    if (ref.node == no_node) continue;
    if (mixes(ref)) {
      causes_[node.id] = causes_[ref.node];
      phases.assign(states.size(), std::nullopt);
      return;
    }
    if (of(ref) == Phase::after) after = &ref;
    if (of(ref) != Phase::micro) continue;
    reads_micro = true;
    only_sums = only_sums && state(ref).kind == Kind::summed;
  }
  if (after != nullptr) {
    phases.assign(states.size(), only_sums ? std::optional(Phase::after) : std::nullopt);
    if (!only_sums)
      mix(fmt::format("{}: [{}] reads {} for each example, and all examples together decide that", place_of(node),
                      node.op->name, place_of(graph.node(after->node))));
    return;
  }
  const bool mixed = std::ranges::any_of(states, [](const BatchState& s) { return s.kind == Kind::mixed; });
  if (mixed && reads_micro && only_sums) {
    phases.assign(states.size(), Phase::after);
    return;
  }
  for (std::size_t k = 0; k < states.size(); ++k) {
    if (states[k].kind == Kind::free) {
      if (!reads_micro) continue;
      phases[k] = std::nullopt;
      mix(fmt::format("{}: [{}] gives the same for every batch, says its batch rule, and reads its examples ({})",
                      place_of(node), node.op->name, describe(graph, node, states_)));
    } else if (states[k].kind == Kind::mixed) {
      phases[k] = std::nullopt;
      if (node.op->traits.random)
        mix(fmt::format(
            "{}: [{}] draws by the row of the whole batch, so the batch must be the first axis of at least two "
            "of {}",
            place_of(node), node.op->name, node.types[k].str()));
      else
        mix(fmt::format("{}: [{}] mixes the examples of the batch ({})", place_of(node), node.op->name,
                        describe(graph, node, states_)));
    } else {
      phases[k] = Phase::micro;
    }
  }
  // A node runs once or for each micro-batch, with all its outputs.
  if (std::ranges::find(phases, std::optional(Phase::micro)) == phases.end()) return;
  for (std::size_t k = 0; k < states.size(); ++k)
    if (phases[k] == Phase::before) {
      phases[k] = std::nullopt;
      mix(fmt::format("{}: [{}] gives output {} for the whole batch and others for its examples", place_of(node),
                      node.op->name, k));
    }
}

}  // namespace weft
