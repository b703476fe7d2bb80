#include <weft/autodiff/remat/graph.h>
#include <weft/graph/passes/fold_constants.h>
#include <weft/graph/reach.h>
#include <weft/runtime/allocate.h>
#include <weft/runtime/lower.h>
#include <weft/runtime/tensor.h>

#include <algorithm>

namespace weft::remat {
namespace {

// What must be ready before the backward pass: the terms of the loss, the seeds, fetches and updates that no gradient
// goes into.
std::vector<Value> forward_roots(const Step& before, const Step& lowered) {
  const NodeSet late = descendants(before.graph, before.seeds);  // of the step that people read: lowering folds seeds
  std::vector<Value> roots;
  auto add = [&](const Value& value) {
    if (value.valid()) roots.push_back(value);
  };
  for (const LossTerm& term : lowered.loss.terms) {
    add(term.sum);
    add(term.weight);
  }
  add(lowered.loss_value);
  for (const Value& seed : lowered.seeds) add(seed);
  for (std::size_t i = 0; i < before.fetches.size(); ++i)
    if (!late.contains(before.fetches[i].value.ref().node)) add(lowered.fetches[i].value);
  for (std::size_t i = 0; i < before.updates.size(); ++i)
    if (!late.contains(before.updates[i].value.ref().node)) add(lowered.updates[i].value);
  return roots;
}

// The node of the forward pass from which a node of the backward pass was derived, through passes in between.
NodeId origin_of(const Node& node, const Graph& lowered, const Graph& before, const NodeSet& forward) {
  NodeId at = node.provenance.origin;
  for (int hops = 0; at != no_node && hops < 16; ++hops) {
    if (forward.contains(at)) return at;
    if (lowered.has(at)) at = lowered.node(at).provenance.origin;
    else if (before.has(at)) at = before.node(at).provenance.origin;
    else return no_node;
  }
  return no_node;
}

void add_once(std::vector<int>& list, int value) {
  if (std::ranges::find(list, value) == list.end()) list.push_back(value);
}

}  // namespace

RematGraph::RematGraph(const Step& before, const MachineRates& rates, Numbers numbers)
    : step(numbers == Numbers::folded ? lower(before)
                                      : lower(before, {.disabled = {std::string(fold_constants_pass)}})) {
  const Graph& graph = step.graph;
  const NodeSet forward = ancestors(graph, forward_roots(before, step));
  std::vector<Value> sums;
  for (const LossTerm& term : step.loss.terms)
    if (term.sum.valid()) sums.push_back(term.sum);
  const NodeSet on_loss = ancestors(graph, sums);

  ops.reserve(graph.size());
  for (std::size_t i = 0; i < graph.size(); ++i) {
    const Node& node = graph.node(graph.ids()[i]);
    const Traits& traits = node.op->traits;
    const int index = static_cast<int>(i);
    op_of[node.id] = index;
    Op op{.id = node.id,
          .forward = forward.contains(node.id),
          .on_loss = on_loss.contains(node.id),
          .expensive = !traits.cheap,
          .view = traits.view};
    op.recomputable = op.forward && !traits.source && traits.recomputable && node.phase == Phase::micro;
    op.seconds = predicted_seconds(graph, node, rates);
    if (const std::size_t outputs = node.types.size(); outputs > 1 && outputs <= 4)
      for (std::uint32_t unread = 0; unread < (1U << outputs); ++unread) {
        Node part = node;
        part.attributes = part.attributes.with(unread_outputs, std::int64_t{unread});
        op.seconds_by_unread.push_back(predicted_seconds(graph, part, rates));
      }
    std::vector<int>& outputs = stored_of.emplace_back();
    for (ValueRef ref : node.operands)
      if (ref.node != no_node) add_once(op.reads, stored_at(ref));
    for (std::uint32_t k = 0; k < node.types.size(); ++k) {
      if (op.view && k == 0) {
        outputs.push_back(stored_at(node.operands.front()));
        continue;
      }
      outputs.push_back(size());
      op.writes.push_back(size());
      Stored value{.owner = {node.id, k}, .op = index, .bytes = aligned(node.types[k].bytes())};
      value.free = traits.source;
      value.choice = op.recomputable;
      value.must_save = op.forward && !value.free && !value.choice;
      stored.push_back(std::move(value));
    }
    origin.push_back(op.forward ? no_node : origin_of(node, graph, before.graph, forward));
    for (int read : op.reads) {
      Stored& value = stored[static_cast<std::size_t>(read)];
      if (!op.view) value.readers.push_back(index);
      // A view that is read late makes its base be read late: seen when its reader comes.
      value.read_late |= !op.forward && !op.view;
    }
    ops.push_back(std::move(op));
  }
  for (const Value& sum : sums) loss_terms.push_back(stored_at(sum.ref()));

  // Differentiable and of the batch: depends on an input, and on a parameter through floating values.
  const NodeSet of_input = descendants(graph, graph.inputs());
  std::vector<bool> of_parameter(stored.size(), false);
  for (const Value& parameter : step.parameters)
    if (parameter.valid()) of_parameter[static_cast<std::size_t>(stored_at(parameter.ref()))] = true;
  for (const Op& op : ops) {
    const Node& node = graph.node(op.id);
    bool flows = false;
    for (ValueRef ref : node.operands) {
      if (ref.node == no_node) continue;
      flows |= of_parameter[static_cast<std::size_t>(stored_at(ref))] && is_float(graph.type(ref).dtype);
    }
    if (!flows || node.op->traits.cuts_gradient) continue;
    for (int written : op.writes) {
      const auto at = static_cast<std::size_t>(written);
      of_parameter[at] = is_float(graph.type(stored[at].owner).dtype);
      const bool read_on =
          std::ranges::any_of(stored[at].readers, [&](int r) { return ops[static_cast<std::size_t>(r)].on_loss; });
      stored[at].on_path = of_parameter[at] && of_input.contains(op.id) && op.on_loss && op.recomputable && read_on;
    }
  }
}

}  // namespace weft::remat
