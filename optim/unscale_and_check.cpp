#include <weft/ops/pointwise/arithmetic.h>
#include <weft/optim/gradient_norm.h>
#include <weft/optim/loss_scale.h>
#include <weft/optim/unscale_and_check.h>

#include <map>
#include <tuple>

namespace weft {
namespace {

constexpr const char* pass = "unscale_and_check";

// Factors of gradients, by what their tags ask for: each is built once.
class CleaningFactors {
 public:
  explicit CleaningFactors(const Step& step) : step_(step) {}

  /// 1 / (scale * weight) as a scalar of `dtype`; absent where the tags ask for neither.
  Value of(const GradientTags& tags, DType dtype) {
    if (!tags.scaled && tags.weight_normalised) return {};
    Value& factor = cast_[{tags.scaled, tags.weight_normalised, dtype}];
    if (factor.valid()) return factor;
    Graph graph = step_.graph;
    const auto scope = graph.scope("factor");
    const auto origin = graph.made_by(pass, no_node);
    return factor = cast(wide(tags), dtype);
  }

 private:
  Value wide(const GradientTags& tags) {
    Value& factor = wide_[{tags.scaled, tags.weight_normalised}];
    if (factor.valid()) return factor;
    Value divisor;
    if (tags.scaled) {
      WEFT_INVARIANT(step_.loss_scale.has_value(), "a gradient is tagged scaled, and the step has no loss scale");
      divisor = step_.loss_scale->scale;
    }
    if (!tags.weight_normalised) {
      WEFT_INVARIANT(step_.gradient_weight.valid(), "a gradient lacks its division by a weight, and the step has none");
      const Value weight = cast(step_.gradient_weight, f64);
      divisor = divisor.valid() ? multiply(divisor, weight) : weight;
    }
    return factor = divide(1.0, divisor);
  }

  const Step& step_;
  std::map<std::pair<bool, bool>, Value> wide_;
  std::map<std::tuple<bool, bool, DType>, Value> cast_;
};

}  // namespace

Value has_weight(const Step& step) {
  // Of micro-batches and of several runs only the sum of the weights counts.
  std::vector<Value> weights;
  if (step.gradient_weight.valid()) weights.push_back(step.gradient_weight);
  else if (!step.due.valid())
    for (const LossTerm& term : step.loss.terms)
      if (term.weight.valid() && (step.micro_batches == 1 || term.weight.node().phase == Phase::step))
        weights.push_back(term.weight);
  Graph graph = step.graph;
  const auto phase = graph.phase(Phase::step);
  Value all;
  for (const Value& weight : weights) {
    const Value counts = isfinite(divide(1.0, cast(weight, f64)));
    all = all.valid() ? logical_and(all, counts) : counts;
  }
  return all;
}

void unscale_and_check(Step& step) {
  if (step.taken.valid()) return;
  WEFT_CHECK(!step.gradients.empty(),
             "there are no gradients to read; hint: a parameter that is trained and not frozen");
  const auto scope = step.graph.scope("unscale");
  const auto phase = step.graph.phase(Phase::step);
  CleaningFactors factors(step);
  for (Gradient& gradient : step.gradients) {
    if (const Value factor = factors.of(gradient.tags, gradient.value.dtype()); factor.valid()) {
      const auto origin = step.graph.made_by(pass, gradient.value.ref().node);
      gradient.value = multiply(gradient.value, factor);
    }
    gradient.tags.scaled = false;
    gradient.tags.weight_normalised = true;
    gradient.tags.finite_checked = true;
  }
  const GradientNorm norm = gradient_norm(step, 2, pass);
  const auto origin = step.graph.made_by(pass, no_node);
  const Value all_finite = norm.all_elements_finite(step), counted = has_weight(step);
  const Value finite = counted.valid() ? logical_and(all_finite, counted) : all_finite;
  step.taken = step.due.valid() ? logical_and(finite, step.due) : finite;
  step.set_fetch("grad_norm", norm.total);
  step.set_fetch("finite", finite);
  update_loss_scale(step, finite, counted);
}

}  // namespace weft
