#include <equivalence/broken.h>

using namespace weft;
using namespace weft::test;

namespace {

Transform sound() { return optimize(adamw({.rate = warmup_cosine(1e-2, 2, 9), .weight_decay = 0.1})); }

// Two optimizers of one name have one meaning: all that they compute must be the same bits.
void expect_other_bits(const ProofModel& model, const std::function<Step(Step)>& fault,
                       const std::vector<std::string>& parts) {
  const Step step = training_step(model.loss);
  expect_caught(step | sound(), step | sound(), step | spoil(sound(), fault), model.options, parts);
}

}  // namespace

TEST_CASE("an update that is taken although the gradients are not finite is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_regression();
  expect_other_bits(model,
                    [](Step step) {
                      // As if the optimizer were not predicated: a plain descent of what the gradient is.
                      Update& update = update_at(step, "out/bias");
                      update.value = subtract(update.state, gradient_at(step, "out/bias").value * 1e-3);
                      return step;
                    },
                    {"'out/bias'"});
  // By itself too, without a sound copy beside it.
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(sound(), [](Step s) {
                        Update& update = update_at(s, "out/bias");
                        update.value = subtract(update.state, gradient_at(s, "out/bias").value * 1e-3);
                        return s;
                      });
  const Equivalence alone = verify_equivalent(step, broken, model.options);
  CHECK_FALSE(alone.passed());
  CHECK_THAT(alone.str(),
             ContainsSubstring("'out/bias'") && ContainsSubstring("changed in a run whose gradients are not finite"));
  CHECK_THAT(step | sound(), EquivalentTo(step, model.options));
}

TEST_CASE("a schedule that advances on skipped steps is caught", "[optim][equivalence][broken]") {
  expect_other_bits(small_regression(),
                    [](Step step) {
                      Update& update = update_at(step, "updates");
                      update.value = add(update.state, full(step.graph, {}, i64, 1));
                      return step;
                    },
                    {"cell 'updates'", "run 1"});
}

TEST_CASE("a skipped step that is counted as taken is caught", "[optim][equivalence][broken]") {
  expect_other_bits(small_regression(),
                    [](Step step) {
                      update_at(step, "skipped").value =
                          update_at(step, "skipped").state + full(step.graph, {}, i64, 0);
                      return step;
                    },
                    {"cell 'skipped'"});
}

TEST_CASE("a moment that starts one update late is caught", "[optim][equivalence][broken]") {
  expect_other_bits(small_gpt(),
                    [](Step step) {
                      for (Update& update : step.updates)
                        if (update.state.node().name == "optimizer/exp_avg_sq/norm/weight") {
                          const Value first = equal(cast(step.graph.find_name("updates"), f32), 0.0);
                          update.value = where(first, update.state, update.value);
                        }
                      return step;
                    },
                    {"cell 'optimizer/exp_avg_sq/norm/weight'"});
}

TEST_CASE("a parameter that is left out of the update is caught", "[optim][equivalence][broken]") {
  expect_other_bits(small_encoder(),
                    [](Step step) {
                      std::erase_if(step.updates,
                                    [](const Update& update) { return update.state.node().name == "kinds/bias"; });
                      return step;
                    },
                    {"cell 'kinds/bias'", "is updated only before"});
}

TEST_CASE("a tied weight whose gradient is counted once is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  auto gradients_again = [](bool whole) {
    return Transform{
        .name = "gradients_again", .claim = Claim::rounding, .needs = {"gradients"}, .apply = [whole](Step s) {
          // Both uses of the embedding meet in the last sum of its gradient.
          Gradient& gradient = gradient_at(s, "embedding/tokens/weight");
          const Node& meeting = gradient.value.node();
          REQUIRE(meeting.operands.size() == 2);
          const Value a = s.graph.value(meeting.operands[0]), b = s.graph.value(meeting.operands[1]);
          const auto origin = s.graph.made_by("gradients_again", meeting.id);
          gradient.value = whole ? b + a : a * 1.0;
          return s;
        }};
  };
  expect_caught(step, step | gradients_again(true), step | gradients_again(false), model.options,
                {"gradient 'embedding/tokens/weight'", "made by gradients_again"});
}
