#include <optim/given_gradients.h>
#include <support/catch.h>
#include <support/temporary_folder.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <random>

using namespace weft;
using given::Lists, given::Model, given::Runner;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double NaN = std::numeric_limits<double>::quiet_NaN();

double number(const nlohmann::json& value) {
  if (!value.is_string()) return value.get<double>();
  return value == "nan" ? NaN : value == "inf" ? inf : -inf;
}

// _amp_update_scale_ of PyTorch (aten/src/ATen/native/cuda/AmpKernels.cu and the CPU's) as a machine of its own, in its
// own types; bounds are ours.
struct Machine {
  float scale;
  int tracker = 0;
  double growth, backoff;
  int window;
  float least, greatest;

  void update(bool found_inf) {
    if (found_inf) {
      scale = std::max(static_cast<float>(scale * backoff), least);
      tracker = 0;
      return;
    }
    const int successful = tracker + 1;
    if (successful == window) {
      const auto bigger = static_cast<float>(scale * growth);
      if (std::isfinite(bigger)) scale = std::min(bigger, greatest);
      tracker = 0;
    } else {
      tracker = successful;
    }
  }
};

struct Gpt {
  Graph graph;
  Loss loss;
  Tensor x{i64, {2, 8}}, y{i64, {2, 8}};

  Gpt() {
    const Dim batch = graph.dim("batch", 2), time = graph.dim("time", 8);
    const Value tokens = graph.input("tokens", i64, {batch, time}),
                targets = graph.input("targets", i64, {batch, time});
    const nn::Gpt model(graph, {.vocab = 13, .layers = 2, .heads = 2, .width = 16, .context = 8, .dropout = 0.1});
    loss = cross_entropy(model(tokens), targets);
    for (std::int64_t i = 0; i < 16; ++i) {
      x.data<std::int64_t>()[i] = (i * 5) % 13;
      y.data<std::int64_t>()[i] = i % 6 == 5 ? -100 : (i * 7 + 1) % 13;
    }
  }
  Store trained(const Step& step, int runs) const {
    Store store(step, {.seed = 4});
    Program program(step, store);
    for (int i = 0; i < runs; ++i) program.run({{"tokens", x}, {"targets", y}});
    return store;
  }
};

}  // namespace

TEST_CASE("scale, tracker and parameters go as with PyTorch's GradScaler, step by step", "[core][optim][loss_scale]") {
  std::ifstream stored(std::string(WEFT_TESTS_DIR) + "/optim/data/scaling.json");
  const auto file = nlohmann::json::parse(stored);
  REQUIRE(file.at("scaler").size() == 7);
  for (const auto& run : file.at("scaler")) {
    INFO(run.at("name"));
    Graph graph;
    const Value c = graph.input("c", f32, {3});
    const Value w = graph.parameter("w", {f32, {3}}, init::zeros());
    const ScaleRule rule{.start = run.at("start"),
                         .growth = run.at("growth"),
                         .backoff = run.at("backoff"),
                         .window = run.at("window"),
                         .least = 1e-30,
                         .greatest = inf};
    const Step step =
        training_step(Loss(sum(w * c))) | scale_loss(dynamic_scale(rule)) | optimize(given::descent(0.125));
    Store store(step);
    store.set("w", Tensor::of<float>({3}, {1.0F, -2.0F, 0.5F}));
    Program program(step, store);
    std::int64_t taken = 0, at = 0;
    for (const auto& want : run.at("steps")) {
      INFO("step " << at++);
      std::vector<double> factors;
      for (const auto& value : want.at("c")) factors.push_back(number(value));
      const Tensor fed = given::tensor(f32, {3}, factors);
      const Result result = program.run({{"c", fed}});
      CHECK(result.scalar("loss_scale") == want.at("scale").get<double>());
      CHECK((result.scalar("finite") == 1) == want.at("finite").get<bool>());
      CHECK(store.tensor("loss_scale").item() == want.at("next_scale").get<double>());
      CHECK(store.tensor("loss_scale/tracker").item() == want.at("tracker").get<double>());
      taken += want.at("finite").get<bool>() ? 1 : 0;
      CHECK(store.updates() == taken);
      CHECK(store.tensor("skipped").item() == static_cast<double>(at - taken));
      for (std::int64_t i = 0; i < 3; ++i)
        CHECK(store.tensor("w").at(i) ==
              Approx(want.at("w").at(static_cast<std::size_t>(i)).get<double>()).epsilon(1e-6));
    }
  }
}

TEST_CASE("over long random runs the scale follows the published rule, with its bounds", "[core][optim][loss_scale]") {
  struct Setting {
    ScaleRule rule;
    int one_in;  // how often a gradient is not finite
  };
  for (const Setting& setting :
       {Setting{{.start = 8, .window = 3, .least = 2, .greatest = 64}, 6},
        Setting{{.start = 100, .growth = 1.3, .backoff = 0.7, .window = 2, .least = 90, .greatest = 120}, 4},
        Setting{{.start = 1, .growth = 3, .backoff = 0.125, .window = 1, .least = 1, .greatest = 1e9}, 9}}) {
    const ScaleRule& rule = setting.rule;
    Model model;
    Runner runner(training_step(model.loss) | scale_loss(dynamic_scale(rule)) | fetch_gradients());
    Machine machine{static_cast<float>(rule.start),
                    0,
                    rule.growth,
                    rule.backoff,
                    static_cast<int>(rule.window),
                    static_cast<float>(rule.least),
                    static_cast<float>(rule.greatest)};
    std::mt19937 random(7);
    bool at_least = false, at_greatest = false;
    for (int i = 0; i < 150; ++i) {
      const bool bad = random() % static_cast<unsigned>(setting.one_in) == 0 || (i > 60 && i < 70);
      const Result result =
          runner.run(bad ? given::plain_with(random() % 2, 1, random() % 2 == 0 ? inf : NaN) : given::plain());
      CHECK(result.scalar("loss_scale") == machine.scale);
      machine.update(bad);
      CHECK(runner.store.tensor("loss_scale").item() == machine.scale);
      CHECK(runner.store.tensor("loss_scale/tracker").item() == machine.tracker);
      at_least |= machine.scale == machine.least;
      at_greatest |= machine.scale == machine.greatest;
    }
    CHECK(at_least);
    CHECK((at_greatest || rule.greatest == 1e9));
  }
}

TEST_CASE("the default rule starts at 1024, doubles after 2000 clean steps, and stops at 65536",
          "[core][optim][loss_scale]") {
  Model model;
  Runner runner(training_step(model.loss) | scale_loss(dynamic_scale()) | fetch_gradients("**/bias"));
  runner.run(given::plain());
  CHECK(runner.store.tensor("loss_scale").item() == 1024);
  CHECK(runner.store.tensor("loss_scale/tracker").item() == 1);
  auto at_window = [&](double scale) {
    runner.store.tensor("loss_scale").data<double>()[0] = scale;
    runner.store.tensor("loss_scale/tracker").data<std::int64_t>()[0] = 1998;
    runner.run(given::plain());
    CHECK(runner.store.tensor("loss_scale").item() == scale);
    runner.run(given::plain());
    CHECK(runner.store.tensor("loss_scale/tracker").item() == 0);
    return runner.store.tensor("loss_scale").item();
  };
  CHECK(at_window(1024) == 2048);
  CHECK(at_window(65536) == 65536);
  CHECK(at_window(40000) == 65536);
}

TEST_CASE("scaling by a power of two leaves the bits of every gradient and of every trained cell",
          "[core][optim][loss_scale]") {
  const Gpt gpt;
  const Step plain = training_step(gpt.loss);
  const auto finish = [](const Step& step) {
    return step | clip_global_norm(0.5) | fetch_gradients() | optimize(adamw({.rate = 0.01}));
  };
  const Store want = gpt.trained(finish(plain), 4);
  for (const LossScaling& scaling :
       {static_scale(1024), static_scale(0.25), dynamic_scale({.start = 4, .window = 2})}) {
    const Step scaled = finish(plain | scale_loss(scaling));
    const Store got = gpt.trained(scaled, 4);
    CHECK(given::changed_cells(want, got) == "");
    CHECK(got.updates() == 4);
  }
  CHECK(gpt.trained(finish(plain | scale_loss(dynamic_scale({.start = 4, .window = 2}))), 4)
            .tensor("loss_scale")
            .item() == 16);
}

TEST_CASE("the seeds of the backward pass carry the scale, and the loss does not", "[core][optim][loss_scale]") {
  Model model;
  const Step plain = training_step(model.loss), scaled = plain | scale_loss(static_scale(512));
  CHECK(scaled.seeds.size() == plain.seeds.size());
  for (const Gradient& gradient : scaled.gradients) CHECK(gradient.tags.scaled);
  CHECK(scaled.applied.back().claim == Claim::rounding);
  Runner before(plain | fetch("seed", plain.seeds[0])), after(scaled | fetch("seed", scaled.seeds[0]));
  const double loss = before.run(given::plain()).scalar("loss");
  const Result result = after.run(given::plain());
  CHECK(result.scalar("loss") == loss);
  CHECK(result.scalar("seed") == 512);
  CHECK(result.scalar("loss_scale") == 512);
  CHECK_FALSE(after.store.has("loss_scale"));  // a static scale is a number, no state
}

TEST_CASE("a gradient too small for its type survives by the scale", "[core][optim][loss_scale]") {
  // Through a cast to f16 the cotangent 1e-9 is 0.
  Graph graph;
  const Value c = graph.input("c", f32, {4});
  const Value w = graph.parameter("w", {f32, {4}}, init::ones());
  const Loss loss = 1e-9 * Loss(sum(cast(cast(w, f16) * cast(c, f16), f32)));
  const Tensor fed = Tensor::of<float>({4}, {1, 2, 3, 4});
  auto gradient = [&](const Step& step) {
    Store store(step);
    Program program(step | fetch_gradients(), store);
    return program.run({{"c", fed}}).tensor("gradient/w").clone();
  };
  const Tensor lost = gradient(training_step(loss)),
               kept = gradient(training_step(loss) | scale_loss(static_scale(1 << 20)));
  for (std::int64_t i = 0; i < 4; ++i) {
    CHECK(lost.at(i) == 0);
    CHECK(kept.at(i) == Approx(1e-9 * fed.at(i)).epsilon(1e-2));
  }
}

TEST_CASE("a step that is not finite changes nothing but the scale, its tracker and the counters",
          "[core][optim][loss_scale]") {
  Model model;
  // A state of the user's own follows the forward pass, not the step.
  Runner runner(training_step(model.loss) | scale_loss(dynamic_scale({.start = 256, .window = 4})) |
                clip_global_norm(1.0) | optimize(adamw({.rate = warmup_cosine(0.1, 3, 20)})));
  for (int i = 0; i < 3; ++i) runner.run(given::plain());
  const double rate = runner.run(given::plain_with(0, 0, NaN)).scalar("rate");
  for (const double bad : {inf, -inf, NaN}) {
    const Store before = runner.store.clone();
    const double scale = before.tensor("loss_scale").item();
    const Result result = runner.run(given::plain_with(1, 4, bad));
    CHECK(result.scalar("finite") == 0);
    CHECK(result.scalar("loss_scale") == scale);
    CHECK(result.scalar("rate") == rate);  // the schedule waits
    CHECK(given::changed_cells(before, runner.store) == "loss_scale skipped");
    CHECK(runner.store.tensor("loss_scale").item() == scale / 2);
    CHECK(runner.store.runs() == before.runs() + 1);
  }
  runner.run(given::plain());
  const Store before = runner.store.clone();
  runner.run(given::plain_with(1, 4, inf));
  CHECK(given::changed_cells(before, runner.store) == "loss_scale loss_scale/tracker skipped");
  CHECK(runner.store.updates() == 4);
}

TEST_CASE("a run that is saved and resumed keeps its scale and goes on with the same bits",
          "[core][optim][loss_scale]") {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "run.safetensors";
  Model model;
  const Step step = training_step(model.loss) | scale_loss(dynamic_scale({.start = 64, .window = 5})) |
                    optimize(adamw({.rate = 0.1}));
  auto feed = [](int i) { return i % 5 == 3 ? given::plain_with(0, 1, inf) : given::plain(); };
  Runner whole(step), first(step), second(step, 99);
  for (int i = 0; i < 9; ++i) whole.run(feed(i));
  for (int i = 0; i < 5; ++i) first.run(feed(i));
  CHECK(first.store.tensor("loss_scale/tracker").item() == 1);
  save_run(path, first.store);
  load_run(path, second.store);
  for (int i = 5; i < 9; ++i) second.run(feed(i));
  CHECK(given::changed_cells(whole.store, second.store) == "");
  CHECK(second.store.tensor("loss_scale").item() != 64);
}

TEST_CASE("without an optimizer the scale follows the gradients as soon as something reads them",
          "[core][optim][loss_scale]") {
  Model model(f32, true);
  const Step scaled = training_step(model.loss) | scale_loss(dynamic_scale({.start = 4, .window = 1}));
  Runner unread(scaled), read(scaled | fetch_gradients());
  unread.run(given::plain());
  CHECK(unread.store.tensor("loss_scale").item() == 4);
  const Result result = read.run(given::plain(), 3);
  CHECK(read.store.tensor("loss_scale").item() == 8);
  for (std::int64_t i = 0; i < 5; ++i)
    CHECK(result.tensor("gradient/layer/bias").at(i) ==
          Approx(given::plain()[1][static_cast<std::size_t>(i)] / 3).epsilon(1e-6));
}

TEST_CASE("the loss may be scaled before or after micro-batches are formed, with the same bits",
          "[core][optim][loss_scale]") {
  const Gpt gpt;
  const Step plain = training_step(gpt.loss);
  const auto finish = [](const Step& step) { return step | clip_global_norm(0.5) | optimize(adamw({.rate = 0.01})); };
  const Transform scale = scale_loss(dynamic_scale({.start = 8, .window = 2}));
  const Store want = gpt.trained(finish(plain | accumulate(2)), 4);
  const Store before = gpt.trained(finish(plain | scale | accumulate(2)), 4);
  const Store after = gpt.trained(finish(plain | accumulate(2) | scale), 4);
  CHECK(given::changed_cells(want, before) == "");
  CHECK(given::changed_cells(want, after) == "");
  CHECK(after.tensor("loss_scale").item() == 32);
}

TEST_CASE("sums over runs carry the scale that they began with", "[core][optim][loss_scale]") {
  const Gpt gpt;
  const Step plain = training_step(gpt.loss);
  const auto finish = [](const Step& step) { return step | clip_global_norm(0.5) | optimize(adamw({.rate = 0.01})); };
  const Transform scale = scale_loss(dynamic_scale({.start = 8, .window = 1}));
  const Store want = gpt.trained(finish(plain | accumulate_over_runs(3)), 9);
  const Store before = gpt.trained(finish(plain | scale | accumulate_over_runs(3)), 9);
  const Store after = gpt.trained(finish(plain | accumulate_over_runs(3) | scale), 9);
  CHECK(want.updates() == 3);
  for (const Store* store : {&before, &after}) {
    CHECK(store->tensor("loss_scale").item() == 64);  // it grew with each update, not with each run
    for (const auto& [path, cell] : want.cells())
      if (path.find("accumulate/") != 0) CHECK(same_bits(cell.tensor, store->tensor(path)));
  }
}

TEST_CASE("of an accumulation over runs only the run that ends it moves the scale, or is refused",
          "[core][optim][loss_scale]") {
  // What accumulate_over_runs says to those after it: whether this run is the one.
  const Transform over_runs{.name = "over_runs", .needs = {"gradients"}, .apply = [](Step step) {
                              step.due = step.graph.input("due", boolean, {});
                              return step;
                            }};
  const Tensor no = Tensor::scalar(false), yes = Tensor::scalar(true);
  for (const NonFinite policy : {NonFinite::skip, NonFinite::propagate, NonFinite::fail}) {
    Model model;
    const Step step = training_step(model.loss) | over_runs | scale_loss(dynamic_scale({.start = 16, .window = 2})) |
                      clip_global_norm(1.0, {.non_finite = policy}) | fetch_gradients();
    Store store(step);
    Program program(step | fetch("taken", step.taken), store);
    auto run = [&](const Lists& lists, const Tensor& due) {
      const Tensor c0 = given::tensor(f32, {3, 4}, lists[0]), c1 = given::tensor(f32, {5}, lists[1]);
      const Result result = program.run({{"c0", c0}, {"c1", c1}, {"due", due}});
      return std::pair(result.scalar("finite"), result.scalar("taken"));
    };
    const Lists bad = given::plain_with(0, 1, inf);
    CHECK(run(given::plain(), no) == std::pair(1.0, 0.0));
    CHECK(run(bad, no) == std::pair(0.0, 0.0));
    CHECK(store.tensor("loss_scale").item() == 16);
    CHECK(store.tensor("loss_scale/tracker").item() == 0);
    CHECK(run(given::plain(), yes) == std::pair(1.0, 1.0));
    CHECK(store.tensor("loss_scale/tracker").item() == 1);
    if (policy == NonFinite::fail) {
      CHECK_THROWS_AS(run(bad, yes), UserError);
      CHECK(store.tensor("loss_scale").item() == 16);
    } else {
      CHECK(run(bad, yes) == std::pair(0.0, 0.0));
      CHECK(store.tensor("loss_scale").item() == 8);
      CHECK(store.tensor("loss_scale/tracker").item() == 0);
    }
  }
}

TEST_CASE("two losses are scaled together", "[core][optim][loss_scale]") {
  for (const DType dtype : {f32, f64}) {
    Model model(dtype);
    const Loss two = Loss(LossTerm{2, sum(model.weight * model.c0), full(model.graph, {}, f32, 5)}) +
                     0.5 * Loss(sum(square(model.bias) * model.c1));
    Runner plain(training_step(two) | fetch_gradients()),
        scaled(training_step(two) | scale_loss(static_scale(64)) | fetch_gradients());
    const Result a = plain.run(given::plain()), b = scaled.run(given::plain());
    for (const char* name : {"gradient/layer/weight", "gradient/layer/bias"})
      CHECK(same_bits(a.tensor(name), b.tensor(name)));
  }
}

TEST_CASE("bad settings of a loss scale are refused", "[core][optim][loss_scale][errors]") {
  for (const double bad : {0.0, -2.0, inf, NaN, 1e-60, 1e60})
    CHECK_THROWS_WITH(static_scale(bad), ContainsSubstring("static_scale needs a positive, finite number, got"));
  CHECK_THROWS_WITH(dynamic_scale({.start = NaN}), ContainsSubstring("needs a positive, finite start, got nan"));
  CHECK_THROWS_WITH(dynamic_scale({.least = 0}), ContainsSubstring("needs a positive, finite least scale, got 0"));
  CHECK_THROWS_WITH(dynamic_scale({.least = 128, .greatest = 64}),
                    ContainsSubstring("least <= greatest, got least 128 and greatest 64"));
  CHECK_THROWS_WITH(dynamic_scale({.start = 1e6}),
                    ContainsSubstring("a start from least to greatest, got start 1000000, least 1 and greatest 65536"));
  CHECK_THROWS_WITH(dynamic_scale({.start = 0.5}), ContainsSubstring("a start from least to greatest, got start 0.5"));
  for (const double bad : {1.0, 0.5, -3.0, inf, NaN})
    CHECK_THROWS_WITH(dynamic_scale({.growth = bad}), ContainsSubstring("needs a growth above 1, got"));
  for (const double bad : {0.0, 1.0, 2.0, -0.5, NaN})
    CHECK_THROWS_WITH(dynamic_scale({.backoff = bad}), ContainsSubstring("needs a backoff between 0 and 1, got"));
  CHECK_THROWS_WITH(dynamic_scale({.window = 0}), ContainsSubstring("needs a window of at least 1 step, got 0"));
}

TEST_CASE("a step that cannot be scaled is refused with its line", "[core][optim][loss_scale][errors]") {
  for (const DType narrow : {f16, bf16}) {
    Graph graph;
    const Value w = graph.parameter("w", {f32, {3}}, init::ones());
    CHECK_THROWS_WITH(training_step(Loss(sum(cast(w, narrow)))) | scale_loss(static_scale(8)),
                      ContainsSubstring("scale_loss needs a loss in f32 or f64, sum (loss_scale_test.cpp:") &&
                          ContainsSubstring("hint: cast the logits to f32"));
  }
  Graph graph;
  const Value half = graph.parameter("half", {f16, {3}}, init::ones());
  CHECK_THROWS_WITH(training_step(Loss(sum(cast(half, f32)))) | scale_loss(static_scale(8)),
                    ContainsSubstring("scale_loss cannot help half (loss_scale_test.cpp:") &&
                        ContainsSubstring("mixed_precision(f16)"));
  Model model;
  const Step step = training_step(model.loss);
  CHECK_THROWS_WITH(step | fetch("d", step.gradients[0].value) | scale_loss(static_scale(8)),
                    ContainsSubstring("the fetch 'd' reads") &&
                        ContainsSubstring("which scale_loss would change; hint: scale_loss(...) | fetch_gradients()"));
  Model other;
  other.graph.state("loss_scale", {f32, {}}, init::zeros());
  CHECK_THROWS_WITH(
      training_step(other.loss) | scale_loss(dynamic_scale()),
      ContainsSubstring("keeps its state as 'loss_scale', and that name is taken at loss_scale_test.cpp:"));
  training_step(other.loss) | scale_loss(static_scale(8));
}
