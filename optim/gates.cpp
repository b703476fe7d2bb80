#include <weft/optim/gates.h>

#include <weft/autodiff/gradient.h>
#include <weft/graph/rewrite.h>
#include <weft/graph/taps.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>
#include <weft/optim/backward_pass.h>
#include <weft/optim/facts.h>

#include <algorithm>
#include <map>

namespace weft {
namespace {

Value wide(const Value& x) { return cast(x, x.dtype() == f64 ? f64 : f32); }

// Elements `at` of a vector.
Value picked(const Value& x, const std::vector<std::int64_t>& at) {
  if (static_cast<std::int64_t>(at.size()) == x.shape().extent(0)) return x;
  std::vector<Value> parts;
  for (const std::int64_t i : at) parts.push_back(slice(x, {.axis = 0, .start = i, .stop = i + 1}));
  return concatenate(parts, 0);
}

// --- importance ---

// The weight by which all terms of a loss are divided; absent where there are several, or none.
Value common_weight(const Loss& loss) {
  const bool same =
      std::ranges::all_of(loss.terms, [&](const LossTerm& t) { return t.weight == loss.terms.front().weight; });
  return same ? loss.terms.front().weight : Value{};
}

// sum_b |<value_b, d_b>| for each index along the axis. value, d [batch, .., gates, ..] -> [gates]
Value taylor(const Value& value, const Value& d, int axis) {
  std::vector<std::int64_t> rest;
  for (int i = 1; i < value.rank(); ++i)
    if (i != axis) rest.push_back(i);
  return sum(abs(sum(wide(value) * wide(d), {.axes = rest})), {.axes = {0}});
}

Step with_importance(Step step, const std::vector<Gates>& gates) {
  const char* const pass = "gate_importance";
  WEFT_CHECK(!step.loss.terms.empty(),
             "{} needs a loss: training_step(loss) or evaluation(loss), got a step that only fetches", pass);
  // One weight of all terms divides at the end: until then each example is by itself, so that the batch can be cut.
  const Value weight = common_weight(step.loss);
  std::vector<Value> sums, seeds, values;
  const TapScope scope(step.graph, "importance", pass, no_node);
  for (const LossTerm& term : step.loss.terms) {
    sums.push_back(term.sum);
    seeds.push_back(multiply(ones_like(term.sum), term.coefficient));
    if (weight.absent() && !term.weight.absent())
      seeds.back() = divide(seeds.back(), cast(term.weight, term.sum.dtype()));
  }
  for (const Gates& gate : gates) values.push_back(gate.value);
  const std::vector<Value> d = vector_jacobian(sums, seeds, values);
  for (std::size_t i = 0; i < gates.size(); ++i) {
    const Node& node = gates[i].value.node();
    WEFT_CHECK(d[i].valid(), "{}: the loss does not depend on '{}' ({})", pass, gates[i].path, str(node.where));
    const TapScope place(step.graph, gates[i].path, pass, node.id);
    Value result = picked(taylor(values[i], d[i], gates[i].axis), gates[i].at);
    if (!weight.absent()) result = result / cast(weight, result.dtype());
    add_tap(step, "importance/" + gates[i].path, result);
    if (result.shape().extent(0) != gates[i].value.shape().extent(gates[i].axis))
      add_tap(step, "importance/" + gates[i].path + "/gates", gates[i].at);
  }
  step.facts.insert(fact::tapped_gradients);  // until remove_taps()
  return step;
}

// --- closing ---

// [count, 1, ..]: whether the gate is open, along `axis` of `rank` axes.
Value open_gates(Graph graph, const Gates& gates) {
  const Shape& shape = gates.value.shape();
  const auto count = static_cast<std::size_t>(shape.extent(gates.axis));
  Constant constant{{boolean, {static_cast<std::int64_t>(count)}}, std::vector<std::byte>(count, std::byte{1})};
  for (const std::int64_t i : gates.at) constant.bytes[static_cast<std::size_t>(i)] = std::byte{0};
  std::vector<std::int64_t> extents(static_cast<std::size_t>(shape.rank() - gates.axis), 1);
  extents.front() = shape.extent(gates.axis);
  constant.type.shape = Shape(std::span<const std::int64_t>(extents));
  return graph.constant(std::move(constant));
}

Step with_closed(const Step& step, const std::vector<Gates>& gates, const std::string& name) {
  std::map<NodeId, std::vector<const Gates*>> of_node;
  for (const Gates& gate : gates) of_node[gate.value.ref().node].push_back(&gate);
  const std::vector<bool> stays = forward_nodes(step, name);
  Rebuild rebuild(step.graph, name);
  for (const NodeId id : step.graph.ids()) {
    if (!stays[id]) continue;
    const Node& node = step.graph.node(id);
    rebuild.keep(node);
    const auto found = of_node.find(id);
    if (found == of_node.end()) continue;
    const Scope place = rebuild.in_place_of(node);
    std::vector<Value> outputs;
    for (std::uint32_t k = 0; k < node.types.size(); ++k) outputs.push_back(rebuild.map({id, k}));
    for (const Gates* gate : found->second) {
      Value& output = outputs[gate->value.ref().output];
      output = weft::where(open_gates(rebuild.to(), *gate), output, 0.0);
    }
    rebuild.replace(node, outputs);
  }
  Step result = step.over(rebuild.finish());
  if (!step.gradients.empty()) rederive_gradients(result, step.gradients);
  return result;
}

}  // namespace

Transform gate_importance(GateFinder gates, std::source_location where) {
  const UserLine line(where);
  return {.name = "gate_importance",
          .claim = Claim::same_bits,
          .forbids = {fact::accumulated, fact::checkpointed},
          .apply = [gates = std::move(gates)](const Step& step) { return with_importance(step, gates(step)); }};
}

Transform close_gates(GateFinder gates, std::source_location where) {
  const UserLine line(where);
  return {
      .name = "close_gates",
      .claim = Claim::changes_meaning,
      .forbids = {fact::low_precision, fact::scaled, fact::accumulated, fact::unscaled, fact::clipped, fact::optimized,
                  fact::checkpointed, fact::tapped_gradients},
      .apply = [gates = std::move(gates)](const Step& step) { return with_closed(step, gates(step), "close_gates"); },
      .change = "parts of some values are 0"};
}

}  // namespace weft
