#include <optim/gradient_chain.h>

#include <support/catch.h>

#include <algorithm>
#include <string>

using namespace weft;
using namespace weft::test;

TEST_CASE("what f16 loses and the scale it needs are as a cast to f16 says", "[core][optim][gradient_verdicts]") {
  // d loss / d w = x: gradients of any size.
  Graph graph;
  const Value w = graph.parameter("w", {f32, {4000}}, init::ones()), x = graph.input("x", f32, {4000});
  const Step step = training_step(Loss(sum(w * x))) | tap_gradients();
  std::mt19937 random(7);
  std::normal_distribution<double> power(-22, 4);
  Tensor feed(f32, {4000});
  for (std::int64_t i = 0; i < 4000; ++i)
    feed.data<float>()[i] = i % 100 == 0 ? 0.0F : static_cast<float>((i % 2 == 0 ? 1 : -1) * std::exp2(power(random)));
  feed.data<float>()[1] = std::exp2(-25.0F);  // a tie: to even, which is 0
  feed.data<float>()[2] = std::nextafter(std::exp2(-25.0F), 1.0F);
  const GradientReport::Parameter row = Run(step, {{"x", feed}}).report().parameter("w");
  auto lost_at = [&](double scale) {
    Tensor scaled = feed.clone();
    for (std::int64_t i = 0; i < 4000; ++i) scaled.data<float>()[i] *= static_cast<float>(scale);
    const Tensor narrow = scaled.cast(f16);
    double count = 0;
    for (std::int64_t i = 0; i < 4000; ++i) count += feed.at(i) != 0 && narrow.at(i) == 0 ? 1 : 0;
    return count;
  };
  double subnormal = 0, largest = 0;
  for (std::int64_t i = 0; i < 4000; ++i) {
    subnormal += feed.at(i) != 0 && std::abs(feed.at(i)) < std::exp2(-14) ? 1 : 0;
    largest = std::max(largest, std::abs(feed.at(i)));
  }
  CHECK(lost_at(1) > 100);
  CHECK(row.f16_lost == lost_at(1) / 4000);
  CHECK(row.f16_lost_in_use == row.f16_lost);
  CHECK(row.f16_weak_in_use == subnormal / 4000);
  CHECK(row.zeros == 0.01);
  double needed = 1;
  while (lost_at(needed) > 1e-3 * 3960) needed *= 16;
  CHECK(needed > 1);
  CHECK(row.f16_scale == needed);
  CHECK(largest * row.f16_most <= 65504);
  CHECK(largest * row.f16_most * 2 > 65504);

  // With a scale, what flows is larger by it; the clean gradient stays.
  const GradientReport::Parameter scaled =
      Run(training_step(Loss(sum(w * x))) | scale_loss(static_scale(256)) | tap_gradients(), {{"x", feed}})
          .report()
          .parameter("w");
  CHECK(scaled.f16_lost == row.f16_lost);
  CHECK(scaled.f16_lost_in_use == lost_at(256) / 4000);
  CHECK(scaled.norm == Approx(row.norm));
}

TEST_CASE("f16 without a loss scale underflows, with the scale that the report asks for it does not",
          "[core][optim][gradient_verdicts]") {
  const Tensor x = Chain::feed();
  const Chain model(3);
  const Loss small = 1e-5 * model.loss;
  const GradientReport bad = Run(training_step(small) | mixed_precision(f16) | tap_gradients(), {{"x", x}}).report();
  REQUIRE_FALSE(bad.of(Verdict::Kind::f16_underflow).empty());
  const Verdict verdict = bad.of(Verdict::Kind::f16_underflow).front();
  CHECK(verdict.path.starts_with("layer/"));
  CHECK(verdict.where.starts_with("gradient_chain.h:"));
  CHECK_THAT(verdict.str(), ContainsSubstring("below 2^-14 without a loss scale") && ContainsSubstring("scale_loss("));
  const GradientReport good =
      Run(training_step(small) | mixed_precision(f16) | scale_loss(static_scale(1048576)) | tap_gradients(), {{"x", x}})
          .report();
  CHECK(good.of(Verdict::Kind::f16_underflow).empty());
  // In f32 nothing underflows, whatever f16 would.
  CHECK(Run(training_step(small) | tap_gradients(), {{"x", x}}).report().of(Verdict::Kind::f16_underflow).empty());
}

TEST_CASE("dead units are found at the activation and at the bias, and live ones are not",
          "[core][optim][gradient_verdicts]") {
  for (const bool dead : {true, false}) {
    Graph graph;
    const Value x = graph.input("x", f32, {8, 6});
    const Value w = graph.parameter("w", {f32, {6, 6}}, init::normal(0, 0.5)),
                b = graph.parameter("b", {f32, {6}}, init::constant(0));
    const Value v = graph.parameter("v", {f32, {6, 6}}, init::normal(0, 0.5));
    const Step step =
        training_step(Loss(sum(square(linear(relu(linear(x, w, b)) + 0.5, v, Value{}))))) | tap_gradients();
    Store store(step, {.seed = 1});
    float* bias = store.tensor("b").data<float>();
    for (int i = 0; i < 4 && dead; ++i) bias[i] = -20;
    Program program(step, store);
    const Tensor feed = Chain::feed();
    const GradientReport report = gradient_report(program.run({{"x", feed}}), step);
    REQUIRE(report.units.size() == 2);  // relu and square
    CHECK(report.units.front().op == "relu");
    CHECK(report.units.front().reached == 6);
    CHECK(report.units.front().closed == (dead ? 4 : 0));
    CHECK(report.parameter("b").dead_rows == (dead ? Approx(4.0 / 6) : Approx(0)));
    CHECK(report.parameter("w").dead_rows == report.parameter("b").dead_rows);
    const std::vector<Verdict> verdicts = report.of(Verdict::Kind::dead_units);
    CHECK(verdicts.size() == (dead ? 3U : 0U));
    if (dead) {
      CHECK(std::ranges::any_of(verdicts, [](const Verdict& verdict) { return verdict.path == "relu"; }));
      CHECK_THAT(report.str(), ContainsSubstring("relu [relu] (gradient_verdicts_test.cpp:") &&
                                   ContainsSubstring("4 of 6 units dead"));
    }
    CHECK(report.healthy() == !dead);
  }
}

TEST_CASE("dead units inside a fused feed-forward are found at its bias", "[core][optim][gradient_verdicts]") {
  for (const DType type : {f32, f64}) {
    Graph graph;
    const Value x = graph.input("x", type, {8, 6});
    const nn::FeedForward layer(graph, "layer", {.width = 6, .hidden = 10, .activation = "relu", .dtype = type});
    const Step step = training_step(Loss(sum(square(layer(x))))) | tap_gradients();
    Store store(step, {.seed = 1});
    const Tensor cold = Tensor::of<double>({10}, {-50, -50, -50, -50, -50, -50, -50, 0, 0, 0});
    store.set("layer/up/bias", cold.cast(type));
    Program program(step, store);
    const Tensor feed = Chain::feed().cast(type);
    const GradientReport report = gradient_report(program.run({{"x", feed}}), step);
    CHECK(report.parameter("layer/up/bias").dead_rows == Approx(0.7));
    const std::vector<Verdict> verdicts = report.of(Verdict::Kind::dead_units);
    CHECK(std::ranges::any_of(verdicts, [](const Verdict& verdict) { return verdict.path == "layer/up/bias"; }));
  }
}

TEST_CASE("rows of an embedding that were not picked are no dead units", "[core][optim][gradient_verdicts]") {
  Graph graph;
  const nn::Gpt model = gpt(graph);
  const Text text;
  const GradientReport report = Run(training_step(loss_of(graph, model)) | tap_gradients(), text.feeds()).report();
  INFO(report.str());
  CHECK(std::isnan(report.parameter("embedding/tokens/weight").dead_rows));
  CHECK(std::isnan(report.parameter("embedding/positions/weight").dead_rows));
  CHECK(report.parameter("decoder/0/attention/out/weight").dead_rows == 0);
  CHECK(report.healthy());
}

TEST_CASE("a table that is picked from by index has no dead units", "[core][optim][gradient_verdicts]") {
  Graph graph;
  const Value table = graph.parameter("table", {f32, {50}}, init::normal(0, 1)), at = graph.input("at", i32, {8});
  const Tensor feed = Tensor::of<std::int32_t>({8}, {1, 1, 2, 3, 3, 3, 4, 5});
  const Run run(training_step(Loss(sum(square(index_select(table, 0, at))))) | tap_gradients(), {{"at", feed}});
  CHECK(std::isnan(run.report().parameter("table").dead_rows));
  CHECK(run.report().parameter("table").zeros == 0.9);
  CHECK(run.report().healthy());
}

TEST_CASE("a bias of keys cancels to rounding, which is no fault, and other biases do not",
          "[optim][gradient_verdicts]") {
  Graph graph;
  const nn::Gpt model = gpt(graph);
  const Loss loss = loss_of(graph, model);
  const Text text;
  for (const Step& step :
       {training_step(loss), training_step(loss) | scale_loss(static_scale(64)) | accumulate(2) | optimize(sgd())}) {
    const GradientReport report = Run(step | tap_gradients(), text.feeds()).report();
    for (const GradientReport::Parameter& row : report.parameters) {
      INFO(row.path << " " << row.norm << " of " << row.arrives);
      CHECK(row.cancels == row.path.ends_with("key/bias"));
      if (row.cancels) CHECK(row.norm < 1e-8);
    }
    CHECK(report.healthy());
  }
}

TEST_CASE("that a gradient cancels is known in every form of the step", "[optim][gradient_verdicts]") {
  Graph graph;
  const nn::Gpt model = gpt(graph);
  const Dim n = graph.dim("batch", 4);
  const Value logits = model(graph.input("tokens", i32, {n, 8}));
  const Loss loss = cross_entropy(logits, graph.input("targets", i32, {n, 8})),
             two = loss + 0.5 * weighted_mean(square(logits));
  const Text text;
  const auto f16_scaled = [&](const Loss& of) {
    return training_step(of) | mixed_precision(f16) | scale_loss(static_scale(4096));
  };
  const std::vector<std::pair<std::string, Step>> forms{
      {"over runs", training_step(loss) | accumulate_over_runs(2) | optimize(sgd())},
      {"two weights", training_step(two)},
      {"two weights, micro-batches", training_step(two) | accumulate(2)},
      {"f16", f16_scaled(loss) | accumulate(2)},
      {"clipped by value", training_step(loss) | clip_value(1e-3)},
  };
  for (const auto& [name, step] : forms) {
    INFO(name);
    const Run run(step | tap_gradients(), text.feeds());
    for (const GradientReport::Parameter& row : run.report().parameters) {
      INFO(row.path << " " << row.norm << " of " << row.arrives);
      CHECK(row.cancels == row.path.ends_with("key/bias"));
    }
    CHECK(run.report().of(Verdict::Kind::no_flow).empty());
  }
}

TEST_CASE("a saturated softmax is found, as an op and inside attention, and a mild one is not",
          "[core][optim][gradient_verdicts]") {
  const Tensor feed = Chain::feed();
  for (const bool saturated : {true, false}) {
    Graph graph;
    const Value x = graph.input("x", f32, {8, 6}), w = graph.parameter("w", {f32, {6, 6}}, init::normal(0, 1));
    const Value v = graph.parameter("v", {f32, {6, 6}}, init::normal(0, 1));
    const Value p = softmax(linear(x, w, Value{}) * (saturated ? 1e3 : 1.0), 1);
    const GradientReport report =
        Run(training_step(Loss(sum(square(linear(p, v, Value{}))))) | tap_gradients(), {{"x", feed}}).report();
    CHECK(report.of(Verdict::Kind::saturated).size() == (saturated ? 1U : 0U));
    if (saturated)
      CHECK_THAT(
          report.of(Verdict::Kind::saturated).front().str(),
          ContainsSubstring("saturated: softmax (gradient_verdicts_test.cpp:") && ContainsSubstring("of 8 rows"));
  }
  for (const bool saturated : {true, false}) {
    Graph graph;
    const Value x = graph.input("x", f32, {1, 8, 2, 4});
    auto made = [&](const std::string& name, double deviation) {
      return x * graph.parameter(name, {f32, {1, 8, 2, 4}}, init::normal(0, deviation));
    };
    const double deviation = saturated ? 100 : 1;
    const Value y = attention(made("q", deviation), made("k", deviation), made("v", 1), {.causal = true});
    Tensor given(f32, {1, 8, 2, 4});
    std::mt19937 random(4);
    std::normal_distribution<float> normal;
    for (float* at = given.data<float>(); at != given.data<float>() + given.size(); ++at) *at = normal(random);
    const GradientReport report = Run(training_step(Loss(sum(square(y)))) | tap_gradients(), {{"x", given}}).report();
    INFO(report.str());
    CHECK(report.of(Verdict::Kind::saturated).empty() == !saturated);
  }
}

TEST_CASE("depth without normalisation vanishes or explodes, and a residual stream does neither",
          "[optim][gradient_verdicts]") {
  const Tensor x = Chain::feed();
  auto of = [&](double deviation, const Chain::Block& block) {
    return Run(training_step(Chain(48, deviation, block).loss) | tap_gradients({.units = false, .f16 = false}),
               {{"x", x}})
        .report();
  };
  const Chain::Block plain = [](const Value& h, const Value& w, const Value& b) { return linear(h, w, b); };
  const Chain::Block residual = [](const Value& h, const Value& w, const Value& b) {
    return h + tanh(linear(h, w, b)) * 0.1;
  };
  const GradientReport small = of(0.2, plain), large = of(0.7, plain), healthy = of(0.4, residual);
  REQUIRE(small.of(Verdict::Kind::vanishing).size() == 1);
  CHECK(small.of(Verdict::Kind::vanishing).front().path == "layer/0");
  CHECK_THAT(small.str(), ContainsSubstring("between layer/47 and here"));
  REQUIRE(large.of(Verdict::Kind::exploding).size() == 1);
  CHECK(large.of(Verdict::Kind::exploding).front().path == "layer/0");
  CHECK(healthy.healthy());
}

TEST_CASE("a parameter whose gradient is 0 and an update that is too large are named",
          "[core][optim][gradient_verdicts]") {
  Graph graph;
  const Value x = graph.input("x", f32, {8, 6}), w = graph.parameter("w", {f32, {6, 6}}, init::normal(0, 0.5));
  const Value zero = graph.parameter("scale", {f32, {}}, init::zeros());
  const Value u = graph.parameter("u", {f32, {6, 6}}, init::normal(0, 0.5));
  const Value y = sum(linear(x, w, Value{}) * zero + linear(x, u, Value{}));
  const Tensor feed = Chain::feed();
  const GradientReport report =
      Run(training_step(Loss(y * y)) | optimize(sgd({.rate = 10.0})) | tap_gradients(), {{"x", feed}}).report();
  CHECK(report.of(Verdict::Kind::no_flow).empty());  // "scale" learns
  CHECK(report.parameter("w").waits_for == "scale");
  CHECK_THAT(report.str(), ContainsSubstring("waits for scale, which starts at 0"));
  const GradientReport frozen =
      Run(training_step(Loss(y * y)) | freeze("scale") | optimize(sgd()) | tap_gradients(), {{"x", feed}}).report();
  REQUIRE(frozen.of(Verdict::Kind::no_flow).size() == 1);
  CHECK(frozen.of(Verdict::Kind::no_flow).front().path == "w");
  CHECK(frozen.parameter("w").waits_for.empty());
  CHECK_THAT(frozen.of(Verdict::Kind::no_flow).front().message,
             ContainsSubstring("not above 1e-08") && ContainsSubstring("hint: audit(step)"));
  const std::vector<Verdict> large = report.of(Verdict::Kind::update_too_large);
  REQUIRE(large.size() == 1);
  CHECK(large.front().path == "u");
  CHECK(std::isnan(report.parameter("scale").dead_rows));
}
