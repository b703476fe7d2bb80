#include <equivalence/broken.h>

#include <algorithm>

using namespace weft;
using namespace weft::test;

namespace {

constexpr double max_norm = 0.05;

GradientLaw global_norm_law() {
  return [](GradientTable table) {
    double squares = 0;
    for (const auto& [path, values] : table)
      for (const double g : values) squares += g * g;
    const double factor = std::min(1.0, max_norm / (std::sqrt(squares) + 1e-6));
    for (auto& [path, values] : table)
      for (double& g : values) g *= factor;
    return table;
  };
}

// clip_global_norm by a norm of the test's choice.
Transform clip_by(const std::function<Value(const Step&)>& factor) {
  auto apply = [factor](Step step) {
    const auto phase = step.graph.phase(Phase::step);
    const Value by = factor(step);
    for (Gradient& gradient : step.gradients) {
      const auto origin = step.graph.made_by("clip_by", gradient.value.ref().node);
      gradient.value = multiply(gradient.value, cast(by, gradient.value.dtype()));
    }
    return step;
  };
  return {.name = "clip_by",
          .claim = Claim::changes_meaning,
          .needs = {"gradients"},
          .apply = apply,
          .change = "scales the gradients to a norm of at most 0.05",
          .law = global_norm_law()};
}

Value norm_of(const std::vector<Value>& gradients) {
  Value total;
  for (const Value& gradient : gradients) {
    const Value squares = cast(sum_squares(gradient), f64);
    total = total.valid() ? total + squares : squares;
  }
  return sqrt(total);
}

std::vector<Value> gradients_of(const Step& step) {
  std::vector<Value> values;
  for (const Gradient& gradient : step.gradients) values.push_back(gradient.value);
  return values;
}

Transform sound() {
  return clip_by([](const Step& step) { return minimum(divide(max_norm, norm_of(gradients_of(step)) + 1e-6), 1.0); });
}

}  // namespace

TEST_CASE("clipping by the norm of one tensor is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Transform broken = clip_by(
      [](const Step& s) { return minimum(divide(max_norm, norm_of({s.gradients.front().value}) + 1e-6), 1.0); });
  expect_caught(step, step | sound(), step | broken, model.options,
                {"gradient '", "its law predicts the gradients", "made by clip_by"});
}

TEST_CASE("clipping that also lengthens short gradients is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_regression();
  const Step step = training_step(1e-3 * model.loss);  // short: nothing is to be clipped
  const Transform broken = clip_by([](const Step& s) { return divide(max_norm, norm_of(gradients_of(s)) + 1e-6); });
  expect_caught(step, step | sound(), step | broken, model.options, {"gradient '", "made by clip_by"});
}

TEST_CASE("clipping by the sum of squares is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_encoder();
  const Step step = training_step(model.loss);
  const Transform broken = clip_by([](const Step& s) {
    const Value norm = norm_of(gradients_of(s));
    return minimum(divide(max_norm, norm * norm + 1e-6), 1.0);
  });
  expect_caught(step, step | sound(), step | broken, model.options, {"gradient '"});
}
