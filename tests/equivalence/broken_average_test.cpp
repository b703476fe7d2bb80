#include <equivalence/broken.h>

using namespace weft;
using namespace weft::test;

namespace {

Step trained(const ProofModel& model) {
  return training_step(model.loss) | optimize(sgd({.rate = 0.05, .momentum = 0.9}));
}

Transform sound() { return average_weights({.decay = 0.75}); }

}  // namespace

TEST_CASE("an average that is written into the weights is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_regression();
  const Step step = trained(model);
  const Step broken = step | spoil(sound(), [](Step s) {
                        update_at(s, "out/bias").value = update_at(s, "average/out/bias").value;
                        return s;
                      });
  expect_caught(step, step | sound(), broken, model.options, {"'out/bias'"});
}

TEST_CASE("an average of the weights before their update is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_regression();
  const Step step = trained(model);
  const Step broken = step | spoil(sound(), [](Step s) {
                        Update& average = update_at(s, "average/out/bias");
                        const Value p = update_at(s, "out/bias").state;
                        average.value = where(s.finite, average.state + (p - average.state) * 0.25, average.state);
                        return s;
                      });
  expect_caught(step | sound(), step | sound(), broken, model.options, {"cell 'average/out/bias'"});
}

TEST_CASE("an average that moves on a skipped step is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_regression();
  const Step step = trained(model);
  const Step broken = step | spoil(sound(), [](Step s) {
                        Update& taken = update_at(s, "average/updates");
                        taken.value = taken.state + full(s.graph, {}, i64, 1);
                        return s;
                      });
  expect_caught(step | sound(), step | sound(), broken, model.options, {"cell 'average/updates'", "run 1"});
}

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
    CHECK_THAT(frozen | scale_loss(static_scale(8)) | accumulate(2) | clip_global_norm(0.5) | optimize(lion()),
               EquivalentTo(frozen | clip_global_norm(0.5) | optimize(lion()), model.options));
  }
}
