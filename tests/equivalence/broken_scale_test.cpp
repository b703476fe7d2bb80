#include <equivalence/broken.h>

#include <weft/optim/unscale_and_check.h>

using namespace weft;
using namespace weft::test;

namespace {

Transform sound() { return scale_loss(static_scale(8)); }
Transform dynamic() { return scale_loss(dynamic_scale({.start = 8, .window = 2, .greatest = 64})); }
Transform descent() { return optimize(adamw({.rate = 1e-2})); }

// The dynamic scale is updated by the first transform that unscales: the
// optimizer, whose copy is spoilt.
void expect_rule_broken(const std::function<Step(Step)>& fault, const std::vector<std::string>& parts) {
  const ProofModel model = small_regression();
  const Step step = training_step(model.loss);
  expect_caught(step | descent(), step | dynamic() | descent(), step | dynamic() | spoil(descent(), fault),
                model.options, parts);
}

}  // namespace

TEST_CASE("a loss scale that is never divided out is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(sound(), [](Step s) {
                        for (Gradient& gradient : s.gradients) gradient.tags.scaled = false;
                        return s;
                      });
  expect_caught(step, step | sound(), broken, model.options, {"gradient '"});
}

TEST_CASE("a loss scale that is divided out twice is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_encoder();
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(sound(), [](Step s) {
                        for (Gradient& gradient : s.gradients) {
                          const auto origin = s.graph.made_by("unscale_early", gradient.value.ref().node);
                          gradient.value = gradient.value * 0.125;
                        }
                        return s;
                      });
  expect_caught(step, step | sound(), broken, model.options, {"gradient '"});
}

TEST_CASE("a scale for the first of two losses only is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_encoder();
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(sound(), [](Step s) {
                        return replace_seeds(s, "half_scaled", [](std::size_t i, const Value& seed) {
                          return i == 0 ? seed : seed * 0.125;
                        });
                      });
  expect_caught(step, step | sound(), broken, model.options, {"gradient '", "first node that differs"});
}

TEST_CASE("clipping before the scale is divided out is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Transform clip = clip_global_norm(0.5);
  Transform early = clip;
  early.apply = [](Step s) {
    const auto phase = s.graph.phase(Phase::step);
    Value squares;
    for (const Gradient& gradient : s.gradients) {
      const Value own = cast(sum_squares(gradient.value), f64);
      squares = squares.valid() ? squares + own : own;
    }
    const Value factor = minimum(divide(0.5, sqrt(squares) + 1e-6), 1.0);
    for (Gradient& gradient : s.gradients) {
      const auto origin = s.graph.made_by("clip_early", gradient.value.ref().node);
      gradient.value = gradient.value * cast(factor, gradient.value.dtype());
    }
    return s;
  };
  expect_caught(step | clip, step | sound() | clip, step | sound() | early, model.options, {"gradient '"});
}

TEST_CASE("a loss scale that is updated twice a run is caught", "[optim][equivalence][broken]") {
  expect_rule_broken(
      [](Step step) {
        Update& scale = update_at(step, "loss_scale");
        scale.value = where(step.taken, scale.value, maximum(scale.value * 0.5, 1.0));
        return step;
      },
      {"loss scale 'loss_scale'", "whose gradients are not finite"});
}

TEST_CASE("a loss scale that grows when it should shrink is caught", "[optim][equivalence][broken]") {
  expect_rule_broken(
      [](Step step) {
        Update& scale = update_at(step, "loss_scale");
        scale.value = where(step.taken, scale.value, scale.state * 2.0);
        return step;
      },
      {"loss scale 'loss_scale'"});
}

TEST_CASE("a tracker that forgets no overflow is caught", "[optim][equivalence][broken]") {
  expect_rule_broken(
      [](Step step) {
        Update& tracker = update_at(step, "loss_scale/tracker");
        tracker.value = where(step.taken, tracker.value, tracker.state);
        return step;
      },
      {"loss scale 'loss_scale/tracker'", "run 1"});
}

TEST_CASE("an update that looks at no flag under a loss scale is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_regression();
  const Step step = training_step(model.loss);
  const Transform taken = spoil(descent(), [](Step s) {
    Update& update = update_at(s, "hidden/bias");
    update.value = update.state - gradient_at(s, "hidden/bias").value * 1e-2;
    return s;
  });
  expect_caught(step | descent(), step | dynamic() | descent(), step | dynamic() | taken, model.options,
                {"'hidden/bias'"});
}
