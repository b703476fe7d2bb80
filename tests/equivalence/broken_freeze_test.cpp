#include <equivalence/broken.h>

using namespace weft;
using namespace weft::test;

TEST_CASE("a freeze that touches what is still trained is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_regression();
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(freeze("out/weight"), [](Step s) {
                        Gradient& gradient = gradient_at(s, "out/bias");
                        gradient.value = gradient.value * 1.25;
                        return s;
                      });
  expect_caught(step, step | freeze("out/weight"), broken, model.options, {"out/bias"});
}

TEST_CASE("freezing before and after the batch is cut gives the same step", "[optim][equivalence]") {
  for (const ProofModel& model : proof_models()) {
    INFO(model.name);
    const Step step = training_step(model.loss);
    const std::string path = step.parameters.front().node().name;
    const Step frozen = step | freeze({path});
    CHECK_THAT(frozen | accumulate(2), EquivalentTo(frozen, model.options));
    CHECK_THAT(step | accumulate(2) | freeze({path}), EquivalentTo(frozen, model.options));
    // Not lion: the sign of a gradient that is 0 but for rounding (a bias of keys) is anyone's.
    const Transform descent = optimize(sgd({.rate = 0.1, .momentum = 0.9}));
    CHECK_THAT(frozen | scale_loss(static_scale(8)) | accumulate(2) | clip_global_norm(0.5) | descent,
               EquivalentTo(frozen | clip_global_norm(0.5) | descent, model.options));
  }
}
