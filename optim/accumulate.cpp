#include <weft/graph/at_batch.h>
#include <weft/graph/rewrite.h>
#include <weft/ops/step/micro.h>
#include <weft/optim/accumulate.h>
#include <weft/optim/facts.h>
#include <weft/optim/gather.h>
#include <weft/optim/loss_groups.h>

#include <unordered_map>
#include <unordered_set>

namespace weft {
namespace {

// The graph of a step, cut: every node in its phase, micro nodes at the smaller batch.
class Cut {
 public:
  Cut(const Graph& graph, std::int64_t k, std::string who)
      : graph_(graph),
        phases_(graph),
        k_(k),
        who_(std::move(who)),
        whole_(batch_of(graph, who_)),
        reasons_(graph.next_id()),
        rebuild_(graph, "accumulate") {}

  /// What the step needs of `value` is gathered as soon as it is there.
  void want(const Value& value, const std::string& what) {
    if (!value.valid()) return;
    wanted_[value.ref().node].push_back(value.ref());
    needs_.try_emplace(value.ref(), what);
  }

  Graph run() {
    for (const NodeId id : graph_.ids()) visit(graph_.node(id));
    return rebuild_.finish();
  }

  /// The step's value, in the graph that run() gave. UserError where examples meet in it.
  Value find(const Graph& made, const Value& value) const {
    if (!value.valid()) return value;
    expect(value, needs_.at(value.ref()));
    return made.value(of_step_.at(value.ref()));
  }

  void expect(const Value& value, const std::string& what) const {
    if (!lost(value.ref())) return;
    // An extent that was given as a number has its own hint.
    const bool baked = !reasons_[value.ref().node].empty() && !phases_.mixes(value.ref());
    WEFT_FAIL("{}: {}; {} depends on it; {}", who_, reason_of(value.ref()), what, baked ? to_the_dim : keep_apart);
  }

 private:
  bool lost(ValueRef ref) const { return phases_.mixes(ref) || !reasons_[ref.node].empty(); }
  const std::string& reason_of(ValueRef ref) const {
    return reasons_[ref.node].empty() ? phases_.reason(ref) : reasons_[ref.node];
  }

  void drop(const Node& node, std::string reason) {
    reasons_[node.id] = std::move(reason);
    rebuild_.drop(node);
  }

  void visit(const Node& node) {
    if (node.op->traits.source) {
      rebuild_.keep(node);
    } else {
      for (const ValueRef& ref : node.operands)
        if (ref.node != no_node && lost(ref)) return drop(node, reason_of(ref));
      bool micro = false, after = false;
      for (std::uint32_t k = 0; k < node.types.size(); ++k) {
        micro = micro || phases_.of({node.id, k}) == Phase::micro;
        after = after || phases_.of({node.id, k}) == Phase::after;
      }
      if (!micro && !after && phases_.mixes({node.id, 0})) return drop(node, phases_.reason({node.id, 0}));
      if (micro ? !keep_micro(node) : !keep_step(node)) return;
    }
    if (const auto at = wanted_.find(node.id); at != wanted_.end())
      for (const ValueRef& ref : at->second)
        if (!lost(ref)) of_step(ref);
  }

  // Runs once, over values of the step.
  bool keep_step(const Node& node) {
    Node changed = node;
    changed.phase = Phase::step;
    for (ValueRef& ref : changed.operands)
      if (ref.node != no_node) ref = of_step(ref).ref();
    rebuild_.keep_as(std::move(changed));
    return true;
  }

  // Runs for each micro-batch, over its slices of what is fed.
  bool keep_micro(const Node& node) {
    static const Symbol batch(batch_name);
    const std::int64_t n = whole_ / k_;
    Node changed = node;
    changed.phase = Phase::micro;
    changed.attributes = node.attributes.with_extent(batch, n);
    for (ValueRef& ref : changed.operands)
      if (ref.node != no_node) ref = of_micro(ref).ref();
    try {
      rebuild_.keep_as(std::move(changed));
    } catch (const UserError& error) {
      drop(node, baked(error.reason));
      return false;
    }
    const Node& made = rebuild_.to().node(node.id);
    for (std::uint32_t k = 0; k < made.types.size(); ++k) {
      const BatchState& state = phases_.state({node.id, k});
      if (!state.in_shape()) continue;
      const Shape& shape = made.types[k].shape;
      const std::int64_t expected = state.outer * n * state.inner;
      if (state.axis < shape.rank() && shape.extent(state.axis) == expected) continue;
      reasons_[node.id] = baked(fmt::format("{}: [{}] output {} must have {} at axis {}, got {}", place_of(node),
                                            node.op->name, k, expected, state.axis, shape.str()));
    }
    return reasons_[node.id].empty();
  }

  std::string baked(const std::string& message) const {
    return fmt::format("{} (at the {} examples of a micro-batch)", message, whole_ / k_);
  }

  Value of_micro(ValueRef ref) {
    const Node& node = graph_.node(ref.node);
    if (!node.op->traits.source || phases_.of(ref) != Phase::micro) return rebuild_.map(ref);
    auto [at, is_new] = slices_.try_emplace(ref);
    if (is_new) {
      const auto scope = rebuild_.in_place_of(node);
      const auto name = rebuild_.to().scope(node.name.substr(node.name.rfind('/') + 1));
      const auto phase = rebuild_.to().phase(Phase::micro);
      at->second = micro_slice(rebuild_.map(ref), phases_.state(ref), k_).ref();
    }
    return rebuild_.to().value(at->second);
  }

  Value of_step(ValueRef ref) {
    auto [at, is_new] = of_step_.try_emplace(ref);
    if (is_new) {
      const Node& node = graph_.node(ref.node);
      const Value here = rebuild_.map(ref);
      if (phases_.of(ref) != Phase::micro || node.op->traits.source) {
        at->second = here.ref();
      } else {
        const auto scope = rebuild_.in_place_of(node);
        const auto name = rebuild_.to().scope(node.name.substr(node.name.rfind('/') + 1));
        at->second = gathered(here, phases_.state(ref), k_).ref();
      }
    }
    return rebuild_.to().value(at->second);
  }

  static constexpr const char* to_the_dim =
      "hint: an extent was given as a number that only equals the batch: reshape to the Dim, not to a number";

  Graph graph_;
  MicroPhases phases_;
  std::int64_t k_;
  std::string who_;
  std::int64_t whole_;
  std::vector<std::string> reasons_;  // by id, of nodes that were dropped
  Rebuild rebuild_;
  std::unordered_map<NodeId, std::vector<ValueRef>> wanted_;
  std::unordered_map<ValueRef, std::string> needs_;
  std::unordered_map<ValueRef, ValueRef> slices_, of_step_;  // in the new graph
};

Step accumulated(const Step& step, std::int64_t k, const std::string& who) {
  if (k == 1) return step;
  const std::int64_t whole = batch_of(step.graph, who);
  WEFT_CHECK(whole % k == 0, "{}: {} micro-batches do not divide the batch of {}; hint: take a divisor of the batch",
             who, k, whole);
  GroupGradients parts = without_weights(step, loss_groups(step, MicroPhases(step.graph), who), "accumulate");
  const Step& split = parts.step;

  Cut cut(split.graph, k, who);
  for (std::size_t g = 0; g < parts.groups.size(); ++g) {
    cut.want(parts.groups[g].weight, "the weight of the loss");
    for (std::size_t i = 0; i < split.parameters.size(); ++i)
      cut.want(parts.gradients[g][i], "the gradient of " + split.parameters[i].node().name);
  }
  // Gradients come by group; all else that the step has once is gathered as it is.
  const auto is_gathered = [](const StepRole& role) {
    return role.is_once_a_step() && role.kind != StepRole::Kind::gradient;
  };
  split.each_value([&](const Value& value, const StepRole& role) {
    if (is_gathered(role)) cut.want(value, role.str());
  });
  const Graph made = cut.run();

  Step result = split;
  result.micro_batches = k;
  std::vector<Value> weights;
  // The forward pass first: what is wrong there shows in the gradients as something else.
  for (const LossTerm& term : split.loss.terms) cut.expect(term.sum, "the loss");
  for (std::size_t g = 0; g < parts.groups.size(); ++g) {
    weights.push_back(cut.find(made, parts.groups[g].weight));
    for (Value& gradient : parts.gradients[g]) gradient = cut.find(made, gradient);
  }
  result.each_value([&](Value& value, const StepRole& role) {
    if (is_gathered(role)) value = cut.find(made, value);
  });
  result.gradients.clear();
  result = result.over(made);
  for (const Gradient& gradient : split.gradients)
    result.gradients.push_back({made.find(gradient.parameter), {}, gradient.tags});
  const auto scope = result.graph.scope("accumulate");
  combine_groups(result, parts.groups, parts.gradients, weights);
  return result;
}

}  // namespace

Transform accumulate(std::int64_t k, std::source_location where) {
  const UserLine line(where);
  WEFT_CHECK(k >= 1, "accumulate needs at least one micro-batch, got {}", k);
  const std::string name = fmt::format("accumulate({})", k);
  return {.name = name,
          .claim = k == 1 ? Claim::same_bits : Claim::rounding,
          .needs = {fact::gradients},
          .forbids = {fact::unscaled, fact::accumulated, fact::checkpointed},
          .promises = {fact::accumulated},
          .apply = [k, name](const Step& step) { return accumulated(step, k, name); }};
}

}  // namespace weft
