#include <weft/inspect/audit/parts.h>

#include <weft/graph/at_batch.h>
#include <weft/graph/passes/equal_nodes.h>
#include <weft/graph/reach.h>
#include <weft/inspect/audit/blocks.h>

#include <algorithm>

#include <fmt/format.h>

namespace weft {
namespace {

using Kind = Finding::Kind;
using Severity = Finding::Severity;

bool of_user(const Node& node) { return node.provenance.pass.empty() && !node.op->traits.source; }

// Counts those of `counted` that lead to `last` through none but themselves; `last` is left out.
std::string also(const Graph& graph, NodeId last, const NodeSet& counted) {
  const NodeSet before =
      ancestors(graph, {graph.value(last)}, [&](const Node&, ValueRef ref) { return counted.contains(ref.node); });
  const auto count = std::ranges::count_if(graph.ids(), [&](NodeId id) { return id != last && before.contains(id); });
  return count == 0
             ? ""
             : fmt::format(", and {} {} before it {}", count, count == 1 ? "node" : "nodes", count == 1 ? "is" : "are");
}

}  // namespace

std::string some_of(const std::vector<std::string>& names) {
  if (names.empty()) return "none";
  if (names.size() == 1) return names[0];
  if (names.size() == 2) return fmt::format("{} and {}", names[0], names[1]);
  return fmt::format("{}, {} and {} more", names[0], names[1], names.size() - 2);
}

void find_idle_parameters(const Step& step, Audit& audit) {
  const NodeSet leads = leads_to_loss(step);
  const bool optimized = std::ranges::any_of(audit.parameters, [](const Audit::Row& row) { return row.updated; });
  const std::vector<Value> parameters = step.graph.parameters();
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    const Audit::Row& row = audit.parameters[p];
    const Node& node = parameters[p].node();
    auto add = [&](Kind kind, std::string message) {
      audit.findings.push_back({kind, Severity::error, row.path, str(node.where), {row.path}, std::move(message)});
    };
    if (row.frozen) continue;
    if (!leads.contains(node.id) && !step.loss.terms.empty())
      add(Kind::unused_parameter,
          "the loss does not use this parameter; hint: call the module that holds it, or freeze it");
    if (optimized && row.reached && !row.updated)
      add(Kind::not_updated,
          "this parameter has a gradient, and no optimizer changes it although others are changed; hint: an optimizer "
          "whose "
          "pattern matches it, or freeze it");
  }
}

void find_unused_outputs(const Step& step, Audit& audit) {
  const Graph& graph = step.graph;
  std::vector<Value> roots = step.roots();
  for (const LossTerm& term : step.loss.terms) roots.insert(roots.end(), {term.sum, term.weight});
  for (const Gradient& gradient : step.gradients) roots.push_back(gradient.value);
  const NodeSet needed = ancestors(graph, roots), made = descendants(graph, graph.parameters());
  NodeSet dead(graph), read(graph);
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (!needed.contains(id) && made.contains(id) && of_user(node)) dead.insert(id);
    for (const ValueRef& ref : node.operands)
      if (ref.node != no_node) read.insert(ref.node);
  }
  for (const NodeId id : graph.ids()) {
    if (!dead.contains(id) || read.contains(id)) continue;
    const Node& node = graph.node(id);
    audit.findings.push_back(
        {Kind::unused_output,
         Severity::warning,
         node.name,
         str(node.where),
         {},
         fmt::format("[{}] neither the loss nor a fetch nor an update reads it{}; hint: use the value, fetch "
                     "it, or take it out",
                     node.op->name, also(graph, id, dead))});
  }
}

void find_duplicates(const Step& step, Audit& audit) {
  const Graph& graph = step.graph;
  const std::vector<NodeId> first = equal_nodes(graph);
  const NodeSet made = descendants(graph, graph.parameters());
  NodeSet again(graph), goes_on(graph);
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    // Views cost nothing; of what is not made from parameters (masks, positions) every layer may have its own.
    if (first[id] == id || !of_user(node) || !of_user(graph.node(first[id])) || !made.contains(id) ||
        node.op->traits.view)
      continue;
    again.insert(id);
    for (const ValueRef& ref : node.operands)
      if (ref.node != no_node) goes_on.insert(ref.node);
  }
  for (const NodeId id : graph.ids()) {
    if (!again.contains(id) || goes_on.contains(id)) continue;  // of a chain the last node
    const Node &node = graph.node(id), &same = graph.node(first[id]);
    audit.findings.push_back(
        {Kind::duplicate,
         Severity::note,
         node.name,
         str(node.where),
         {},
         fmt::format("[{}] computes what '{}' ({}) has computed{}; lower() merges them; hint: if it was to be "
                     "another value, look at its operands",
                     node.op->name, same.name, str(same.where), also(graph, id, again))});
  }
}

void find_mixed_batch(const Step& step, Audit& audit) {
  const Graph& graph = step.graph;
  if (!graph.extent(Symbol(batch_name))) return;
  std::vector<std::vector<BatchState>> states;
  try {
    states = batch_states(graph, step.micro_batches);
  } catch (const UserError&) {
    return;  // an op's own batch rule does not fit: at_batch and accumulate say so
  }
  using State = BatchState::Kind;
  const NodeSet leads = leads_to_loss(step);
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (!leads.contains(id) || node.op->traits.source || !is_float(node.types.front().dtype)) continue;
    bool before = false, split = false, against_itself = false;
    std::string from;
    std::vector<std::string> types;
    int axis = 0;  // of the batch, from the end, in the first operand that has it
    for (const ValueRef& ref : node.operands) {
      if (ref.node == no_node) continue;
      const BatchState& state = states[ref.node][ref.output];
      types.push_back(graph.type(ref).str());
      before |= state.kind == State::mixed;
      if (state.kind != State::split) continue;
      const int here = state.axis - graph.type(ref).shape.rank();
      if (from.empty()) from = graph.type(ref).str();
      against_itself |= split && node.op->traits.pointwise && here != axis;
      if (!split) axis = here;
      split = true;
    }
    if (before || !split) continue;
    for (std::size_t k = 0; k < node.types.size(); ++k) {
      if (states[id][k].kind != State::mixed || node.types[k].count() <= 1) continue;  // a mean of examples is a loss
      const bool moved = node.op->traits.view;
      const Severity severity = moved ? Severity::error : against_itself ? Severity::warning : Severity::note;
      audit.findings.push_back(
          {Kind::batch_mixed,
           severity,
           node.name,
           str(node.where),
           {},
           moved ? fmt::format(
                       "[{}] {} -> {} mixes the batch with another axis, so an example's elements are spread over "
                       "others; hint: transpose the axes, then reshape",
                       node.op->name, from, node.types[k].str())
           : against_itself
               ? fmt::format(
                     "[{}] broadcasts the batch against itself, every example with every other: {} gives {}; hint: "
                     "reshape one to the other's extents, such as a target [batch] beside [batch, 1]",
                     node.op->name, fmt::join(types, " beside "), node.types[k].str())
               : fmt::format(
                     "[{}] examples meet here: {} of the whole batch; accumulate() cannot split it; hint: keep the "
                     "examples apart unless it is meant",
                     node.op->name, node.types[k].str())});
      break;
    }
  }
}

}  // namespace weft
