#include <equivalence/broken.h>

using namespace weft;
using namespace weft::test;

namespace {

Transform descent() { return optimize(adamw({.rate = 1e-2})); }
Transform sound() { return average_weights({.decay = 0.9}); }

void expect_other_average(const ProofModel& model, const std::function<Step(Step)>& fault,
                          const std::vector<std::string>& parts) {
  const Step step = training_step(model.loss) | descent();
  expect_caught(step | sound(), step | sound(), step | spoil(sound(), fault), model.options, parts);
}

}  // namespace

TEST_CASE("an average of weights changes nothing that was there before", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  EquivalenceOptions options = model.options;
  options.adds_only = true;
  const Step step = training_step(model.loss) | descent();
  CHECK_THAT(step | sound(), EquivalentTo(step, options));
  const Equivalence wrong = verify_equivalent(step,
                                              step | spoil(sound(),
                                                           [](Step s) {
                                                             Update& update = update_at(s, "norm/weight");
                                                             update.value = update.value * 0.999;
                                                             return s;
                                                           }),
                                              options);
  CHECK_FALSE(wrong.passed());
  CHECK_THAT(wrong.str(), ContainsSubstring("cell 'norm/weight'"));
}

TEST_CASE("an average of the weights before their update is caught", "[optim][equivalence][broken]") {
  expect_other_average(small_gpt(),
                       [](Step step) {
                         Update& average = update_at(step, "average/norm/weight");
                         const Update& weight = update_at(step, "norm/weight");
                         average.value = substitute({average.value}, {{weight.value, weight.state}}).front();
                         return step;
                       },
                       {"cell 'average/norm/weight'"});
}

TEST_CASE("an average that a skipped step moves is caught", "[optim][equivalence][broken]") {
  expect_other_average(small_regression(),
                       [](Step step) {
                         Update& average = update_at(step, "average/out/weight");
                         average.value = average.state * 0.9 + update_at(step, "out/weight").value * 0.1;
                         return step;
                       },
                       {"cell 'average/out/weight'"});
}
