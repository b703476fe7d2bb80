#include <weft/autodiff/gradient.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/creation.h>
#include <weft/optim/loss_groups.h>
#include <weft/optim/seeds.h>

#include <algorithm>

namespace weft {
namespace {

// What group a term belongs to, with that term alone.
LossGroup group_of(const LossTerm& term, const MicroPhases& phases, const std::string& who, LossGrouping grouping) {
  const std::string name = place_of(term.sum.node());
  const char* const hint =
      "hint: give the loss as a sum over the examples and a weight, as cross_entropy does: LossTerm{1, sum(losses), "
      "weight}";
  const std::optional<Phase> phase = phases.of(term.sum.ref());
  // Where examples meet before the sum, another sum is no cure.
  WEFT_CHECK(phase.has_value(), "{}: the loss term {} is no sum over the examples: {}; {}", who, name,
             phases.reason(term.sum.ref()), phases.cause(term.sum.ref()) == term.sum.ref().node ? hint : keep_apart);
  const BatchState& state = phases.state(term.sum.ref());
  WEFT_CHECK(phase == Phase::before || state.kind == BatchState::Kind::summed,
             "{}: the loss term {} depends on the batch and is no sum over the examples: [{}] gives {}; {}", who, name,
             term.sum.node().op->name, state.str(), hint);
  LossGroup group{.batch_free = phase == Phase::before};
  if (term.weight.absent()) return group;
  const ValueRef weight = term.weight.ref();
  WEFT_CHECK(!phases.mixes(weight), "{}: the weight {} of the loss term {} is no sum over the examples: {}", who,
             place_of(term.weight.node()), name, phases.reason(weight));
  if (phases.of(weight) != Phase::before || grouping.sum_free_weights) group.weight = term.weight;
  return group;
}

}  // namespace

std::vector<LossGroup> loss_groups(const Step& step, const MicroPhases& phases, const std::string& who,
                                   LossGrouping grouping) {
  std::vector<LossGroup> groups;
  for (std::size_t i = 0; i < step.loss.terms.size(); ++i) {
    LossGroup group = group_of(step.loss.terms[i], phases, who, grouping);
    auto same = std::ranges::find_if(
        groups, [&](const LossGroup& g) { return g.batch_free == group.batch_free && g.weight == group.weight; });
    if (same == groups.end()) same = groups.insert(same, std::move(group));
    same->terms.push_back(i);
  }
  return groups;
}

GroupGradients without_weights(const Step& step, const std::vector<LossGroup>& groups, const std::string& pass) {
  std::vector<bool> weighted(step.seeds.size(), false);
  for (const LossGroup& group : groups)
    for (const std::size_t term : group.terms) weighted[term] = !group.weight.absent();
  const bool scaled = std::ranges::any_of(step.gradients, [](const Gradient& g) { return g.tags.scaled; });
  GroupGradients made{step, groups, {}};
  if (std::ranges::find(weighted, true) != weighted.end())
    made.step = replace_seeds(step, pass, [&](std::size_t i, const Value& seed) {
      if (!weighted[i]) return seed;
      const Value coefficient = multiply(ones_like(seed), step.loss.terms[i].coefficient);
      return scaled ? multiply(coefficient, cast(seed.graph().find(step.loss_scale->scale), seed.dtype()))
                    : coefficient;
    });
  for (LossGroup& group : made.groups)
    if (!group.weight.absent()) group.weight = made.step.find(group.weight);
  Step& result = made.step;
  if (groups.size() == 1) {
    made.gradients.emplace_back();
    for (const Value& parameter : result.parameters) {
      const Gradient* gradient = result.gradient_of(parameter);
      made.gradients.back().push_back(gradient == nullptr ? Value{} : gradient->value);
    }
    return made;
  }
  for (const LossGroup& group : groups) {
    std::vector<Value> sums, seeds;
    for (const std::size_t term : group.terms) {
      sums.push_back(result.loss.terms[term].sum);
      seeds.push_back(result.seeds[term]);
    }
    made.gradients.push_back(vector_jacobian(sums, seeds, result.parameters));
  }
  return made;
}

void combine_groups(Step& step, const std::vector<LossGroup>& groups, const std::vector<std::vector<Value>>& gradients,
                    const std::vector<Value>& weights) {
  const auto phase = step.graph.phase(Phase::step);
  const bool one = groups.size() == 1;
  std::vector<Value> inverse(groups.size());
  for (std::size_t g = 0; g < groups.size(); ++g)
    if (!one && !groups[g].weight.absent()) inverse[g] = divide(1.0, cast(weights[g], f64));
  const bool later = one && !groups.front().weight.absent();  // by whoever reads the gradients first
  if (later) step.gradient_weight = weights.front();
  for (Gradient& gradient : step.gradients) {
    const auto at = std::ranges::find(step.parameters, gradient.parameter);
    WEFT_INVARIANT(at != step.parameters.end(), "'{}' has a gradient and is no parameter of the step",
                   gradient.parameter.name());
    Value total;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      Value part = gradients[g][static_cast<std::size_t>(at - step.parameters.begin())];
      if (!part.valid()) continue;
      if (!inverse[g].absent()) part = multiply(part, cast(inverse[g], part.dtype()));
      total = total.valid() ? add(total, part) : part;
    }
    WEFT_INVARIANT(total.valid(), "no group of the loss reaches '{}', whose gradient is there",
                   gradient.parameter.name());
    gradient.value = total;
    gradient.tags.weight_normalised = !later;
  }
}

}  // namespace weft
