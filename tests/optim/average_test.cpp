// Moving averages of the weights.
#include <optim/fed_gradients.h>
#include <support/catch.h>
#include <support/temporary_folder.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <limits>

using namespace weft;
using test::FedGradients, test::different_cells;

namespace {

using Paths = std::vector<std::string>;

Step averaged_sgd(const FedGradients& model, const AverageOptions& options) {
  return training_step(model.loss) | optimize(sgd({.rate = 0.1})) | average_weights(options);
}

// A loss that can be evaluated: |w - target|^2.
struct Quadratic {
  Graph graph;
  Value w, target;
  Loss loss;
  Quadratic() {
    w = graph.parameter("layer/w", {f64, {3}}, init::normal(0, 1));
    target = graph.input("target", f64, {3});
    loss = sum(square(w - target));
  }
};

}  // namespace

TEST_CASE("averages follow torch.optim.swa_utils over 25 updates", "[core][optim][average]") {
  std::ifstream file(WEFT_TESTS_DIR "/optim/data/optimizers.json");
  const auto stored = nlohmann::json::parse(file);
  const auto& samples = stored.at("ema over sgd, decay 0.9");
  for (const DType dtype : {f64, f32}) {
    FedGradients model(dtype);
    const Step step = averaged_sgd(model, {.decay = 0.9});
    Store store(step);
    Program program(step, store);
    std::size_t sample = 0;
    for (std::int64_t t = 1; t <= stored.at("steps"); ++t) {
      model.run(program, t);
      if (stored.at("sampled").at(sample) != t) continue;
      const auto want = samples.at(sample++).get<std::vector<double>>();
      const std::vector<double> got = model.values(with_average(store));
      REQUIRE(got.size() == want.size());
      for (std::size_t i = 0; i < want.size(); ++i)
        CHECK(std::abs(got[i] - want[i]) <= (dtype == f64 ? 1e-10 : 1e-5) * std::max(0.1, std::abs(want[i])));
    }
    CHECK(sample == samples.size());
  }
}

TEST_CASE("the warm-up of an average forgets early weights sooner", "[core][optim][average]") {
  FedGradients model;
  const Step step = averaged_sgd(model, {.decay = 0.5, .warmup = true});
  Store store(step);
  Program program(step, store);
  std::vector<double> want;
  for (std::int64_t n = 0; n < 20; ++n) {  // (1 + n) / (10 + n) reaches 0.5 at n = 8
    model.run(program, n + 1);
    const double keep = n == 0 ? 0 : std::min(0.5, (1 + static_cast<double>(n)) / (10 + static_cast<double>(n)));
    const std::vector<double> now = model.values(store);
    if (n == 0) want = now;
    for (std::size_t i = 0; i < now.size(); ++i) want[i] = keep * want[i] + (1 - keep) * now[i];
    const std::vector<double> got = model.values(with_average(store));
    for (std::size_t i = 0; i < now.size(); ++i) CHECK(got[i] == Approx(want[i]).epsilon(1e-12).margin(1e-14));
  }
}

TEST_CASE("until its start an average is the weight, to the bit", "[core][optim][average]") {
  FedGradients model(f32);
  const Step step = averaged_sgd(model, {.decay = 0.9, .start = 3});
  Store store(step);
  Program program(step, store);
  for (std::int64_t t = 1; t <= 6; ++t) {
    model.run(program, t);
    // the fourth is the first of the average
    CHECK(same_bits(store.tensor("average/w"), store.tensor("w")) == (t <= 4));
    CHECK(store.tensor("average/updates").item() == static_cast<double>(std::max<std::int64_t>(0, t - 3)));
  }
}

TEST_CASE("averaging changes no bit of the training", "[core][optim][average]") {
  FedGradients with(f32), without(f32);
  const Step a = averaged_sgd(with, {.decay = 0.9});
  const Step b = training_step(without.loss) | optimize(sgd({.rate = 0.1}));
  CHECK(a.applied.back().claim == Claim::same_bits);
  Store x(a), y(b);
  Program p(a, x), q(b, y);
  for (std::int64_t t = 1; t <= 5; ++t) CHECK(with.run(p, t).scalar("loss") == without.run(q, t).scalar("loss"));
  CHECK(different_cells(x, y) == Paths{"average/b", "average/updates", "average/v", "average/w"});
}

TEST_CASE("a step that is not taken leaves the bits of the averages", "[core][optim][average]") {
  FedGradients model(f32);
  const Step step = averaged_sgd(model, {.decay = 0.9, .warmup = true});
  Store store(step);
  Program program(step, store);
  const bool before_first = GENERATE(true, false);
  if (!before_first)
    for (std::int64_t t = 1; t <= 3; ++t) model.run(program, t);
  const Store before = store.clone();
  model.fill(4);
  model.put(model.gradients[2], 0, std::numeric_limits<double>::quiet_NaN());
  program.run(model.feeds());
  CHECK(different_cells(before, store) == Paths{"skipped"});
}

TEST_CASE("a program on the averaged view evaluates the newest averages without a copy", "[core][optim][average]") {
  const Quadratic model;
  const Step step = training_step(model.loss) | optimize(sgd({.rate = 0.1})) | average_weights({.decay = 0.75});
  Store store(step, {.seed = 3});
  Program train(step, store), plain(evaluation(model.loss), store);
  const Tensor target = Tensor::of<double>({3}, {1, 2, 3});
  Store view = with_average(store);
  Program averaged(evaluation(model.loss), view);
  auto loss_of = [&](const char* path) {
    double sum = 0;
    for (std::int64_t i = 0; i < 3; ++i) sum += std::pow(store.tensor(path).at(i) - target.at(i), 2);
    return sum;
  };
  // none yet
  CHECK(averaged.run({{"target", target}}).scalar("loss") == plain.run({{"target", target}}).scalar("loss"));
  for (int i = 0; i < 4; ++i) {
    train.run({{"target", target}});
    CHECK(averaged.run({{"target", target}}).scalar("loss") == Approx(loss_of("average/layer/w")));
    CHECK(plain.run({{"target", target}}).scalar("loss") == Approx(loss_of("layer/w")));
  }
  CHECK(loss_of("average/layer/w") > loss_of("layer/w"));  // it lags
  CHECK(store.tensor("layer/w").raw() != view.tensor("layer/w").raw());
  CHECK(store.tensor("average/layer/w").raw() == view.tensor("layer/w").raw());
  CHECK(store.tensor("updates").raw() == view.tensor("updates").raw());  // "average/updates" is no weight's
}

TEST_CASE("averages are saved and resumed with the run, and can be saved as a model", "[core][optim][average]") {
  const test::TemporaryFolder folder;
  FedGradients model(f32);
  const Step step = averaged_sgd(model, {.decay = 0.9, .warmup = true});
  Store store(step);
  Program program(step, store);
  for (std::int64_t t = 1; t <= 5; ++t) model.run(program, t);
  save_run(folder / "run", store);
  save_run(folder / "averaged", with_average(store));
  Store weights(model.graph);
  load_run(folder / "averaged", weights, {.allow_unused = true});
  CHECK(same_bits(weights.tensor("w"), store.tensor("average/w")));
  for (std::int64_t t = 6; t <= 8; ++t) model.run(program, t);
  Store again(step, {.seed = 7});
  load_run(folder / "run", again);
  Program resumed(step, again);
  for (std::int64_t t = 6; t <= 8; ++t) model.run(resumed, t);
  CHECK(different_cells(store, again).empty());
}

TEST_CASE("only updated parameters that match are averaged", "[core][optim][average]") {
  FedGradients model;
  const Step step = training_step(model.loss) | freeze("b") | optimize(sgd()) | average_weights();
  CHECK(Store(step).match("average/**") == Paths{"average/updates", "average/v", "average/w"});
  Store some(training_step(model.loss) | optimize(sgd()) | average_weights({.pattern = "w"}));
  CHECK(some.match("average/**") == Paths{"average/updates", "average/w"});
  CHECK(with_average(some).tensor("v").raw() == some.tensor("v").raw());
}

TEST_CASE("averages in a wrong place or with wrong settings are refused", "[core][optim][average][errors]") {
  FedGradients model;
  const Step step = training_step(model.loss);
  CHECK_THROWS_WITH(average_weights({.decay = 1}), ContainsSubstring("average_weights needs a decay in [0, 1), got 1"));
  CHECK_THROWS_WITH(average_weights({.start = -1}),
                    ContainsSubstring("average_weights needs a start of at least 0, got -1"));
  CHECK_THROWS_WITH(step | average_weights(), ContainsSubstring("average_weights needs 'optimized'"));
  const Step done = step | optimize(sgd());
  CHECK_THROWS_WITH(
      done | average_weights() | average_weights(),
      ContainsSubstring("average_weights can be applied once: the weights are already averaged by average_weights"));
  CHECK_THROWS_WITH(
      done | average_weights({.pattern = "decoder/**"}),
      ContainsSubstring(
          "average_weights: the pattern 'decoder/**' matches no updated parameter; hint: the first of 3 is w"));
  Store plain(done);
  CHECK_THROWS_WITH(with_average(plain),
                    ContainsSubstring("the store holds no averages of weights; hint: step | average_weights()"));
}
