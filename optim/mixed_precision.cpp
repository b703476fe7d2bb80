#include <weft/autodiff/gradient.h>
#include <weft/graph/rewrite.h>
#include <weft/ops/arithmetic.h>
#include <weft/optim/mixed_precision.h>
#include <weft/optim/precision_plan.h>

#include <algorithm>
#include <map>

namespace weft {
namespace {

constexpr const char* hint_of_order = "hint: training_step(loss) | mixed_precision(...) | what reads the gradients";

// Which nodes depend on a seed of the backward pass: by id.
std::vector<bool> behind_seeds(const Step& step) {
  std::vector<bool> behind(step.graph.next_id(), false);
  for (const Value& seed : step.seeds) behind[seed.ref().node] = true;
  for (const NodeId id : step.graph.ids())
    for (const ValueRef& ref : step.graph.node(id).operands)
      if (ref.node != no_node && behind[ref.node]) behind[id] = true;
  for (const Value& seed : step.seeds) behind[seed.ref().node] = false;  // the seeds themselves stay
  return behind;
}

// Which nodes are not the gradient's, by id. UserError where anything reads gradients: it would be lost.
std::vector<bool> forward_nodes(const Step& step, const std::string& name) {
  const Graph& graph = step.graph;
  const std::vector<bool> behind = behind_seeds(step);
  auto expect_forward = [&](const Value& value, const std::string& what) {
    WEFT_CHECK(value.absent() || !behind[value.ref().node], "{} derives the gradients anew, and {} reads '{}' ({}) of the "
               "old ones; {}", name, what, value.name(), str(value.node().where), hint_of_order);
  };
  for (const Fetch& fetch : step.fetches) expect_forward(fetch.value, "the fetch '" + fetch.name + "'");
  for (const Update& update : step.updates) expect_forward(update.value, "the update of '" + update.state.name() + "'");

  std::vector<bool> stays(graph.next_id(), false);
  bool past_seeds = false;
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    past_seeds |= std::ranges::any_of(step.seeds, [&](const Value& seed) { return seed.ref().node == id; });
    const bool of_gradient = node.provenance.pass == "gradient";
    WEFT_CHECK(!behind[id] || of_gradient, "{} derives the gradients anew, and '{}' ({}{}) was built upon the old ones; {}",
               name, node.name, str(node.where), node.provenance.pass.empty() ? "" : ", by " + node.provenance.pass,
               hint_of_order);
    // Numbers that only backward rules made depend on no seed.
    stays[id] = !behind[id] && !(of_gradient && past_seeds);
  }
  for (auto id = graph.ids().rbegin(); id != graph.ids().rend(); ++id)
    for (const ValueRef& ref : graph.node(*id).operands)
      if (stays[*id] && ref.node != no_node) stays[ref.node] = true;
  for (const Gradient& gradient : step.gradients) {
    const Node& node = gradient.value.node();
    const bool seed = std::ranges::find(step.seeds, gradient.value) != step.seeds.end();
    WEFT_CHECK(seed || node.provenance.pass == "gradient",
               "{} derives the gradients anew, and the gradient of '{}' was replaced by '{}' ({}); {}", name,
               gradient.parameter.name(), node.name, str(node.where), hint_of_order);
  }
  return stays;
}

// The forward pass in its new types. Each operand has a cast of its own at first: so the gradients of operands that read one
// value are widened and then summed in f32, as by PyTorch, whose autocast casts an activation for each reader. Where they
// are derived, merge_casts() leaves one.
class Rewrite {
 public:
  Rewrite(const Step& step, const std::vector<bool>& stays, PrecisionPlan plan, const std::string& pass)
      : step_(step), plan_(std::move(plan)), rebuild_(step.graph, pass) {
    keep_declared();
    for (const NodeId id : step.graph.ids()) {
      const Node& node = step.graph.node(id);
      if (!stays[id]) continue;
      keep(node);
      cast_outputs(node);
    }
    redirect_updates();
  }

  /// Casts that are the same as another: (which, as which).
  std::map<NodeId, NodeId> same_casts() const {
    std::map<NodeId, NodeId> same;
    for (const auto& [key, made] : casts_)
      for (std::size_t i = 1; i < made.size(); ++i) same[made[i].node] = made.front().node;
    return same;
  }

  Step finish() {
    Step result = step_.over(rebuild_.finish());
    for (std::size_t i = 0; i < step_.loss.terms.size(); ++i) {
      result.loss.terms[i].sum = declared(step_.loss.terms[i].sum);
      result.loss.terms[i].weight = declared(step_.loss.terms[i].weight);
    }
    result.loss_value = declared(step_.loss_value);
    for (std::size_t i = 0; i < step_.seeds.size(); ++i) result.seeds[i] = declared(step_.seeds[i]);
    for (std::size_t i = 0; i < step_.fetches.size(); ++i) result.fetches[i].value = declared(step_.fetches[i].value);
    for (std::size_t i = 0; i < step_.updates.size(); ++i) result.updates[i].value = declared(step_.updates[i].value);
    return result;
  }

 private:
  void keep_declared() {
    auto keep = [&](const Value& value) {
      if (value.valid()) plan_.keep_declared(value.ref());
    };
    for (const LossTerm& term : step_.loss.terms) {
      keep(term.sum);
      keep(term.weight);
    }
    keep(step_.loss_value);
    for (const Value& seed : step_.seeds) keep(seed);
    for (const Fetch& fetch : step_.fetches) keep(fetch.value);
    for (const Update& update : step_.updates) keep(update.value);
    for (const auto& [state, value] : step_.graph.updates()) plan_.keep_declared(value);
  }

  // The value in that type: itself or its cast, for its next reader.
  ValueRef as(ValueRef ref, DType dtype) {
    if (plan_.computed(ref) == dtype) return ref;
    const std::vector<ValueRef>& made = casts_[{ref, dtype}];
    WEFT_INVARIANT(!made.empty(), "nothing casts output {} of '{}' to {}", ref.output, step_.graph.node(ref.node).name,
                   name_of(dtype));
    return made[std::min(read_[{ref, dtype}]++, made.size() - 1)];
  }
  Value declared(const Value& value) {
    if (!value.valid()) return value.absent() ? value : Value(rebuild_.to().data(), {});
    return rebuild_.to().value(as(value.ref(), value.dtype()));
  }

  void keep(const Node& node) {
    Node changed = node;
    for (std::size_t i = 0; i < node.operands.size(); ++i)
      if (node.operands[i].node != no_node) changed.operands[i] = as(node.operands[i], plan_.wanted(node, i));
    const bool same = changed.operands == node.operands && std::ranges::none_of(node.operands, [&](ValueRef ref) {
      return ref.node != no_node && plan_.computed(ref) != step_.graph.type(ref).dtype;
    });
    same ? rebuild_.keep(node) : rebuild_.keep_as(std::move(changed));
  }

  void cast_outputs(const Node& node) {
    for (std::uint32_t k = 0; k < node.types.size(); ++k)
      for (const auto& [dtype, readers] : plan_.casts_of({node.id, k})) {
        const Scope place = rebuild_.in_place_of(node);
        const Scope leaf = rebuild_.to().scope(node.name.substr(node.name.rfind('/') + 1));
        for (int i = 0; i < std::max(1, step_.gradients.empty() ? 1 : readers); ++i)
          casts_[{{node.id, k}, dtype}].push_back(cast(rebuild_.to().value(node.id, k), dtype).ref());
      }
  }

  // The graph's own updates read values in their declared types.
  void redirect_updates() {
    for (const auto& [state, value] : step_.graph.updates()) {
      const Node& node = step_.graph.node(value.node);
      std::vector<Value> outputs;
      for (std::uint32_t k = 0; k < node.types.size(); ++k) {
        const ValueRef output{node.id, k};
        const bool updates = std::ranges::any_of(step_.graph.updates(), [&](const auto& u) { return u.second == output; });
        outputs.push_back(rebuild_.to().value(updates ? as(output, node.types[k].dtype) : output));
      }
      rebuild_.replace(node, outputs);
    }
  }

  const Step& step_;
  PrecisionPlan plan_;
  Rebuild rebuild_;
  std::map<std::pair<ValueRef, DType>, std::vector<ValueRef>> casts_;
  std::map<std::pair<ValueRef, DType>, std::size_t> read_;
};

Step merge_casts(const Step& step, const std::map<NodeId, NodeId>& same, const std::string& pass) {
  if (same.empty()) return step;
  Rebuild rebuild(step.graph, pass);
  for (const NodeId id : step.graph.ids()) {
    const auto found = same.find(id);
    if (found == same.end()) rebuild.keep(step.graph.node(id));
    else rebuild.replace(step.graph.node(id), {rebuild.map({found->second, 0})});
  }
  return step.over(rebuild.finish());
}

// The gradients of the same parameters, from the same seeds.
void derive_gradients(Step& step, const std::vector<Gradient>& before, std::source_location where) {
  const auto line = step.graph.scope("loss", where);
  std::vector<Value> sums, parameters;
  for (const LossTerm& term : step.loss.terms) sums.push_back(term.sum);
  for (const Gradient& gradient : before) parameters.push_back(step.graph.find(gradient.parameter));
  const std::vector<Value> gradients = vector_jacobian(sums, step.seeds, parameters);
  step.gradients.clear();
  for (std::size_t i = 0; i < before.size(); ++i) {
    WEFT_INVARIANT(gradients[i].valid(), "'{}' has lost its gradient", parameters[i].name());
    step.gradients.push_back({parameters[i], gradients[i], before[i].tags});
  }
}

}  // namespace

Transform mixed_precision(DType low, MixedPrecisionOptions options, std::source_location where) {
  WEFT_CHECK(low == bf16 || low == f16, "mixed_precision needs a type of two bytes, bf16 or f16, got {}", name_of(low));
  const std::string name = fmt::format("mixed_precision({})", name_of(low));
  return {.name = name,
          .claim = Claim::rounding,
          .forbids = {"low_precision", "scaled", "accumulated", "settled", "clipped", "optimized", "checkpointed"},
          .promises = {"low_precision"},
          .apply =
              [low, name, where, options = std::move(options)](const Step& step) {
                WEFT_CHECK(step.seeds.size() == step.loss.terms.size() || step.gradients.empty(),
                           "{}: the gradients of this step were not made by training_step; {}", name, hint_of_order);
                const std::vector<bool> stays = forward_nodes(step, name);
                Rewrite rewrite(step, stays, PrecisionPlan(step.graph, stays, low, options), name);
                Step result = rewrite.finish();
                if (step.gradients.empty()) return result;
                derive_gradients(result, step.gradients, where);
                return merge_casts(result, rewrite.same_casts(), name);
              },
          .rounds_to = low};
}

}  // namespace weft
