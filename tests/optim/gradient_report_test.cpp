#include <weft/optim/gradient_history.h>
#include <weft/optim/gradient_report.h>
#include <weft/optim/report_gradients.h>
#include <weft/weft.h>

#include <nlohmann/json.hpp>

#include <support/catch.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <random>

using namespace weft;

namespace {

// x [batch, 6] through layers of width 6 to one number.
struct Chain {
  Graph graph;
  Dim batch = graph.dim("batch", 8);
  Value x = graph.input("x", f32, {batch, 6});
  std::vector<Value> weights, biases;
  Loss loss;

  using Block = std::function<Value(const Value& x, const Value& weight, const Value& bias)>;
  explicit Chain(int depth, double deviation = 0.5, const Block& block = [](const Value& x, const Value& w, const Value& b) {
    return tanh(linear(x, w, b));
  }) {
    Value h = x;
    for (int i = 0; i < depth; ++i) {
      const auto scope = graph.scope(fmt::format("layer/{}", i));
      weights.push_back(graph.parameter("weight", {f32, {6, 6}}, init::normal(0, deviation)));
      biases.push_back(graph.parameter("bias", {f32, {6}}, init::normal(0, 0.1)));
      h = block(h, weights.back(), biases.back());
    }
    loss = LossTerm{1, sum(square(h)), cast(sum(ones_like(slice(x, {.axis = 1, .stop = 1}))), f32)};
  }
  static Tensor feed(std::uint32_t seed = 3) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    Tensor x(f32, {8, 6});
    for (float* at = x.data<float>(); at != x.data<float>() + x.size(); ++at) *at = normal(random);
    return x;
  }
};

struct Run {
  Step step;
  Store store;
  Program program;
  Result result;
  Run(Step given, const std::vector<Feed>& feeds, std::uint64_t seed = 1)
      : step(std::move(given)), store(step, {.seed = seed}), program(step, store), result(program.run(feeds)) {}
  GradientReport report(const GradientThresholds& thresholds = {}) const { return gradient_report(result, step, thresholds); }
};

std::vector<double> doubles(const Tensor& tensor) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < tensor.size(); ++i) values.push_back(tensor.at(i));
  return values;
}
double norm_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

nn::Gpt gpt(Graph graph, double dropout = 0, std::int64_t layers = 2) {
  return {graph, {.vocab = 17, .layers = layers, .heads = 2, .width = 16, .context = 8, .dropout = dropout}};
}
Loss loss_of(Graph graph, const nn::Gpt& model) {
  const Dim n = graph.dim("batch", 4);
  return cross_entropy(model(graph.input("tokens", i32, {n, 8})), graph.input("targets", i32, {n, 8}));
}
struct Text {
  Tensor tokens = Tensor(i32, {4, 8}), targets = Tensor(i32, {4, 8});
  Text() {
    std::mt19937 random(5);
    for (std::int64_t i = 0; i < 32; ++i) {
      tokens.data<std::int32_t>()[i] = static_cast<std::int32_t>(random() % 17);
      targets.data<std::int32_t>()[i] = i % 5 == 0 ? -100 : static_cast<std::int32_t>(random() % 17);
    }
  }
  std::vector<Feed> feeds() const { return {{"tokens", tokens}, {"targets", targets}}; }
};

}  // namespace

TEST_CASE("the report's numbers are those of the gradients, counted plainly in double", "[core][optim][gradient_report]") {
  const Chain model(3);
  const Tensor x = Chain::feed();
  const Step step = training_step(model.loss) | fetch_gradients() | optimize(sgd({.rate = 0.1})) | report_gradients();
  Store before(step, {.seed = 1});
  const Run run(step, {{"x", x}});
  const GradientReport report = run.report();
  REQUIRE(report.parameters.size() == 6);
  double squares = 0;
  for (const GradientReport::Parameter& row : report.parameters) {
    INFO(row.path);
    const std::vector<double> g = doubles(run.result.tensor("gradient/" + row.path));
    const std::vector<double> w = doubles(before.tensor(row.path)), after = doubles(run.store.tensor(row.path));
    double sum = 0, largest = 0;
    std::vector<double> moved;
    for (std::size_t i = 0; i < g.size(); ++i) {
      sum += g[i];
      largest = std::max(largest, std::abs(g[i]));
      moved.push_back(after[i] - w[i]);
    }
    const auto n = static_cast<double>(g.size());
    CHECK(row.elements == static_cast<std::int64_t>(g.size()));
    CHECK(row.norm == Approx(norm_of(g)).epsilon(1e-6));
    CHECK(row.mean == Approx(sum / n).epsilon(1e-5).margin(1e-9));
    CHECK(row.largest == largest);
    CHECK(row.zeros == static_cast<double>(std::ranges::count(g, 0.0)) / n);
    CHECK(row.not_finite == 0);
    CHECK(row.weight_norm == Approx(norm_of(w)).epsilon(1e-6));
    CHECK(row.update_ratio == Approx(norm_of(moved) / norm_of(w)).epsilon(1e-4));
    squares += row.norm * row.norm;
  }
  CHECK(report.norm == Approx(std::sqrt(squares)));
  CHECK(report.norm == Approx(run.result.scalar("grad_norm")));
  CHECK(report.loss == run.result.scalar("loss"));
  const auto &weight = report.parameter("layer/1/weight"), &bias = report.parameter("layer/1/bias");
  const auto& block = report.block("layer/1");
  CHECK(block.norm == Approx(std::hypot(weight.norm, bias.norm)));
  CHECK(block.mean == Approx((36 * weight.mean + 6 * bias.mean) / 42));
  CHECK(block.largest == std::max(weight.largest, bias.largest));
  CHECK(report.healthy());
}

TEST_CASE("gains are norms of the cotangents between blocks, as a gradient by hand gives them", "[core][optim][gradient_report]") {
  Chain model(3);
  // The same chain, where the values between the blocks are parameters: their gradients are the cotangents.
  std::vector<Value> between;
  for (int i = 0; i < 3; ++i) between.push_back(model.graph.find_name(fmt::format("layer/{}/tanh", i)));
  const Tensor x = Chain::feed();
  const Step step = training_step(model.loss);
  Graph graph = step.graph.clone();
  std::vector<Value> sums, wanted;
  const Value total = graph.find(step.loss_value);
  for (const Value& value : between) wanted.push_back(graph.find(value));
  const std::vector<Tensor> cotangents = evaluate(gradient(total, wanted), std::vector<Feed>{{"x", x}}, 1);
  const Run run(step | report_gradients(), {{"x", x}});
  const GradientReport report = run.report();
  for (int i = 0; i < 3; ++i)
    CHECK(report.block(fmt::format("layer/{}", i)).gives == Approx(norm_of(doubles(cotangents[static_cast<std::size_t>(i)]))).epsilon(1e-5));
  CHECK(std::isnan(report.block("layer/0").reads));  // only the input, which does not learn
  CHECK(report.block("layer/2").reads == Approx(report.block("layer/1").gives));
  CHECK(report.block("layer/2").gain == Approx(report.block("layer/1").gives / report.block("layer/2").gives));
}

TEST_CASE("scaling, micro-batches, low precision and their order leave the report as it is", "[core][optim][gradient_report]") {
  Graph graph;
  const nn::Gpt model = gpt(graph, 0, 1);
  const Loss loss = loss_of(graph, model);
  const Text text;
  const GradientReport plain = Run(training_step(loss) | optimize(sgd()) | report_gradients(), text.feeds()).report();
  struct Case {
    std::string name;
    Step step;
    double epsilon;
  };
  const std::vector<Case> cases{
      {"scaled, before anybody settles", training_step(loss) | scale_loss(dynamic_scale()) | report_gradients() | optimize(sgd()), 1e-4},
      {"accumulated", training_step(loss) | accumulate(2) | optimize(sgd()) | report_gradients(), 1e-4},
      {"both", training_step(loss) | scale_loss(static_scale(4096)) | accumulate(4) | report_gradients() | optimize(sgd()), 1e-4},
      {"bf16", training_step(loss) | mixed_precision(bf16) | scale_loss(static_scale(64)) | accumulate(2) | optimize(sgd()) |
                   report_gradients(), 0.05},
      {"checkpointed", training_step(loss) | optimize(sgd()) | report_gradients() | checkpoint(every_block()), 1e-4},
  };
  for (const Case& each : cases) {
    INFO(each.name);
    const GradientReport report = Run(each.step, text.feeds()).report();
    REQUIRE(report.parameters.size() == plain.parameters.size());
    for (std::size_t i = 0; i < plain.parameters.size(); ++i) {
      const auto &got = report.parameters[i], &expected = plain.parameters[i];
      INFO(got.path);
      CHECK(got.path == expected.path);
      CHECK(got.norm == Approx(expected.norm).epsilon(each.epsilon).margin(each.epsilon * plain.norm));
      if (!std::isnan(expected.arrives + got.arrives)) CHECK(got.arrives == Approx(expected.arrives).epsilon(each.epsilon));
      CHECK(got.largest == Approx(expected.largest).epsilon(10 * each.epsilon).margin(each.epsilon * plain.norm));
    }
    for (const auto& block : plain.blocks) {
      INFO(block.name);
      CHECK(report.block(block.name).gives == Approx(block.gives).epsilon(each.epsilon));
      if (std::isnan(block.gain)) CHECK(std::isnan(report.block(block.name).gain));
      else CHECK(report.block(block.name).gain == Approx(block.gain).epsilon(each.epsilon));
    }
  }
}

TEST_CASE("a report changes no bits, and remove_taps takes it out to the last byte", "[core][optim][gradient_report]") {
  Graph graph;
  const nn::Gpt model = gpt(graph, 0.2, 1);
  const Loss loss = loss_of(graph, model);
  const Text text;
  const Step plain = training_step(loss) | clip_global_norm(1.0) | optimize(adamw({.rate = 1e-2}));
  const Step micro = training_step(loss) | scale_loss(dynamic_scale()) | accumulate(2) | optimize(adamw({.rate = 1e-2}));
  for (const Step& step : {plain, micro}) {
    const Step watched = step | report_gradients();
    Store a(step, {.seed = 2}), b(watched, {.seed = 2});
    Program one(step, a), other(watched, b);
    for (int i = 0; i < 3; ++i) {
      const Result x = one.run(text.feeds()), y = other.run(text.feeds());
      CHECK(same_bits(x.tensor("loss"), y.tensor("loss")));
      CHECK(same_bits(x.tensor("grad_norm"), y.tensor("grad_norm")));
    }
    for (const auto& [path, cell] : a.cells()) {
      INFO(path);
      CHECK(same_bits(cell.tensor, b.tensor(path)));
    }
    const Step removed = watched | remove_taps();
    CHECK(removed.graph.size() == step.graph.size());
    const Plan before = plan(step), after = plan(removed);
    CHECK(after.arena_bytes == before.arena_bytes);
    CHECK(after.total_bytes() == before.total_bytes());
    CHECK(after.str() == before.str());
    CHECK_THROWS_WITH(gradient_report(one.run(text.feeds()), step), ContainsSubstring("hint: step | report_gradients()"));
  }
}

TEST_CASE("what f16 loses and the scale it needs are as a cast to f16 says", "[core][optim][gradient_report]") {
  // d loss / d w = x: gradients of any size.
  Graph graph;
  const Value w = graph.parameter("w", {f32, {4000}}, init::ones()), x = graph.input("x", f32, {4000});
  const Step step = training_step(Loss(sum(w * x))) | report_gradients();
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
      Run(training_step(Loss(sum(w * x))) | scale_loss(static_scale(256)) | report_gradients(), {{"x", feed}}).report().parameter("w");
  CHECK(scaled.f16_lost == row.f16_lost);
  CHECK(scaled.f16_lost_in_use == lost_at(256) / 4000);
  CHECK(scaled.norm == Approx(row.norm));
}

TEST_CASE("f16 without a loss scale underflows, with the scale that the report asks for it does not", "[core][optim][gradient_report]") {
  const Tensor x = Chain::feed();
  const Chain model(3);
  const Loss small = 1e-5 * model.loss;
  const GradientReport bad = Run(training_step(small) | mixed_precision(f16) | report_gradients(), {{"x", x}}).report();
  REQUIRE_FALSE(bad.of(Verdict::Kind::f16_underflow).empty());
  const Verdict verdict = bad.of(Verdict::Kind::f16_underflow).front();
  CHECK(verdict.path.starts_with("layer/"));
  CHECK(verdict.where.starts_with("gradient_report_test.cpp:"));
  CHECK_THAT(verdict.str(), ContainsSubstring("below 2^-14 without a loss scale") && ContainsSubstring("scale_loss("));
  const GradientReport good =
      Run(training_step(small) | mixed_precision(f16) | scale_loss(static_scale(1048576)) | report_gradients(), {{"x", x}}).report();
  CHECK(good.of(Verdict::Kind::f16_underflow).empty());
  // In f32 nothing underflows, whatever f16 would.
  CHECK(Run(training_step(small) | report_gradients(), {{"x", x}}).report().of(Verdict::Kind::f16_underflow).empty());
}

TEST_CASE("dead units are found at the activation and at the bias, and live ones are not", "[core][optim][gradient_report]") {
  for (const bool dead : {true, false}) {
    Graph graph;
    const Value x = graph.input("x", f32, {8, 6});
    const Value w = graph.parameter("w", {f32, {6, 6}}, init::normal(0, 0.5)), b = graph.parameter("b", {f32, {6}}, init::constant(0));
    const Value v = graph.parameter("v", {f32, {6, 6}}, init::normal(0, 0.5));
    const Step step = training_step(Loss(sum(square(linear(relu(linear(x, w, b)) + 0.5, v, Value{}))))) | report_gradients();
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
      CHECK_THAT(report.str(), ContainsSubstring("relu [relu] (gradient_report_test.cpp:") && ContainsSubstring("4 of 6 units dead"));
    }
    CHECK(report.healthy() == !dead);
  }
}

TEST_CASE("rows of an embedding that were not picked are no dead units", "[core][optim][gradient_report]") {
  Graph graph;
  const nn::Gpt model = gpt(graph);
  const Text text;
  const GradientReport report = Run(training_step(loss_of(graph, model)) | report_gradients(), text.feeds()).report();
  INFO(report.str());
  CHECK(std::isnan(report.parameter("embedding/tokens/weight").dead_rows));
  CHECK(std::isnan(report.parameter("embedding/positions/weight").dead_rows));
  CHECK(report.parameter("decoder/0/attention/out/weight").dead_rows == 0);
  CHECK(report.healthy());
}

TEST_CASE("a table that is picked from by index has no dead units", "[core][optim][gradient_report]") {
  Graph graph;
  const Value table = graph.parameter("table", {f32, {50}}, init::normal(0, 1)), at = graph.input("at", i32, {8});
  const Tensor feed = Tensor::of<std::int32_t>({8}, {1, 1, 2, 3, 3, 3, 4, 5});
  const Run run(training_step(Loss(sum(square(index_select(table, 0, at))))) | report_gradients(), {{"at", feed}});
  CHECK(std::isnan(run.report().parameter("table").dead_rows));
  CHECK(run.report().parameter("table").zeros == 0.9);
  CHECK(run.report().healthy());
}

TEST_CASE("a report is proven to change nothing", "[optim][gradient_report]") {
  const Chain model(2);
  const Step step = training_step(model.loss) | scale_loss(static_scale(8)) | accumulate(2) | optimize(sgd());
  const Equivalence result = verify_equivalent(step, step | report_gradients());
  INFO(result.str());
  CHECK(result.passed());
}

TEST_CASE("a bias of keys cancels to rounding, which is no fault, and other biases do not", "[core][optim][gradient_report]") {
  Graph graph;
  const nn::Gpt model = gpt(graph);
  const Loss loss = loss_of(graph, model);
  const Text text;
  for (const Step& step : {training_step(loss), training_step(loss) | scale_loss(static_scale(64)) | accumulate(2) | optimize(sgd())}) {
    const GradientReport report = Run(step | report_gradients(), text.feeds()).report();
    for (const GradientReport::Parameter& row : report.parameters) {
      INFO(row.path << " " << row.norm << " of " << row.arrives);
      CHECK(row.cancels == row.path.ends_with("key/bias"));
      if (row.cancels) CHECK(row.norm < 1e-8);
    }
    CHECK(report.healthy());
  }
}

TEST_CASE("a saturated softmax is found, as an op and inside attention, and a mild one is not", "[core][optim][gradient_report]") {
  const Tensor feed = Chain::feed();
  for (const bool saturated : {true, false}) {
    Graph graph;
    const Value x = graph.input("x", f32, {8, 6}), w = graph.parameter("w", {f32, {6, 6}}, init::normal(0, 1));
    const Value v = graph.parameter("v", {f32, {6, 6}}, init::normal(0, 1));
    const Value p = softmax(linear(x, w, Value{}) * (saturated ? 1e3 : 1.0), 1);
    const GradientReport report =
        Run(training_step(Loss(sum(square(linear(p, v, Value{}))))) | report_gradients(), {{"x", feed}}).report();
    CHECK(report.of(Verdict::Kind::saturated).size() == (saturated ? 1U : 0U));
    if (saturated) CHECK_THAT(report.of(Verdict::Kind::saturated).front().str(),
                              ContainsSubstring("saturated: softmax (gradient_report_test.cpp:") && ContainsSubstring("of 8 rows"));
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
    const GradientReport report = Run(training_step(Loss(sum(square(y)))) | report_gradients(), {{"x", given}}).report();
    INFO(report.str());
    CHECK(report.of(Verdict::Kind::saturated).empty() == !saturated);
  }
}

TEST_CASE("depth without normalisation vanishes or explodes, and a residual stream does neither", "[core][optim][gradient_report]") {
  const Tensor x = Chain::feed();
  auto of = [&](double deviation, const Chain::Block& block) {
    return Run(training_step(Chain(48, deviation, block).loss) | report_gradients({.units = false, .f16 = false}), {{"x", x}}).report();
  };
  const Chain::Block plain = [](const Value& h, const Value& w, const Value& b) { return linear(h, w, b); };
  const Chain::Block residual = [](const Value& h, const Value& w, const Value& b) { return h + tanh(linear(h, w, b)) * 0.1; };
  const GradientReport small = of(0.2, plain), large = of(0.7, plain), healthy = of(0.4, residual);
  REQUIRE(small.of(Verdict::Kind::vanishing).size() == 1);
  CHECK(small.of(Verdict::Kind::vanishing).front().path == "layer/0");
  CHECK_THAT(small.str(), ContainsSubstring("between layer/47 and here"));
  REQUIRE(large.of(Verdict::Kind::exploding).size() == 1);
  CHECK(large.of(Verdict::Kind::exploding).front().path == "layer/0");
  CHECK(healthy.healthy());
}

TEST_CASE("a parameter whose gradient is 0 and an update that is too large are named", "[core][optim][gradient_report]") {
  Graph graph;
  const Value x = graph.input("x", f32, {8, 6}), w = graph.parameter("w", {f32, {6, 6}}, init::normal(0, 0.5));
  const Value zero = graph.parameter("scale", {f32, {}}, init::zeros());
  const Value u = graph.parameter("u", {f32, {6, 6}}, init::normal(0, 0.5));
  const Value y = sum(linear(x, w, Value{}) * zero + linear(x, u, Value{}));
  const Tensor feed = Chain::feed();
  const GradientReport report = Run(training_step(Loss(y * y)) | optimize(sgd({.rate = 10.0})) | report_gradients(), {{"x", feed}}).report();
  REQUIRE(report.of(Verdict::Kind::no_flow).size() == 1);
  CHECK(report.of(Verdict::Kind::no_flow).front().path == "w");
  CHECK_THAT(report.of(Verdict::Kind::no_flow).front().message, ContainsSubstring("not above 1e-08") && ContainsSubstring("hint: audit(step)"));
  const std::vector<Verdict> large = report.of(Verdict::Kind::update_too_large);
  REQUIRE(large.size() == 1);
  CHECK(large.front().path == "u");
  CHECK(std::isnan(report.parameter("scale").dead_rows));
}

TEST_CASE("NaN in a gradient is a verdict, and its numbers are null in JSON", "[core][optim][gradient_report]") {
  Graph graph;
  const Value x = graph.input("x", f32, {8, 6}), w = graph.parameter("w", {f32, {6}}, init::zeros());
  Tensor feed = Chain::feed();
  const GradientReport report = Run(training_step(Loss(sum(sqrt(w * w) * x))) | report_gradients(), {{"x", feed}}).report();
  REQUIRE(report.of(Verdict::Kind::not_finite).size() == 1);
  CHECK(report.parameter("w").not_finite == 1);
  CHECK(report.of(Verdict::Kind::no_flow).empty());
  const std::string lines = report.json_lines(12);
  std::size_t count = 0, nulls = 0;
  for (std::size_t at = 0; at < lines.size(); ++count) {
    const std::size_t end = lines.find('\n', at);
    REQUIRE(end != std::string::npos);
    const nlohmann::json line = nlohmann::json::parse(lines.substr(at, end - at));
    CHECK(line.at("step") == 12);
    if (line.at("kind") == "parameter") nulls += line.at("norm").is_null();
    if (line.at("kind") == "verdict") CHECK(line.at("verdict") == "not_finite");
    at = end + 1;
  }
  CHECK(count == 1 + report.blocks.size() + report.parameters.size() + report.units.size() + report.rows.size() + report.verdicts.size());
  CHECK(nulls == 1);
}

TEST_CASE("the JSON lines hold what the table holds", "[core][optim][gradient_report]") {
  const Chain model(2);
  const Tensor x = Chain::feed();
  const GradientReport report = Run(training_step(model.loss) | optimize(sgd()) | report_gradients(), {{"x", x}}).report();
  const std::string lines = report.json_lines(1);
  const nlohmann::json first = nlohmann::json::parse(lines.substr(0, lines.find('\n')));
  CHECK(first.at("kind") == "step");
  CHECK(first.at("norm").get<double>() == report.norm);
  CHECK(first.at("healthy") == true);
  const std::string text = report.str();
  CHECK_THAT(text, ContainsSubstring("layer/0/weight") && ContainsSubstring("update/w") && ContainsSubstring("gain"));
}

TEST_CASE("a history draws a curve a block over its steps", "[core][optim][gradient_report]") {
  const Chain model(3);
  const Step step = training_step(model.loss) | optimize(sgd({.rate = 0.05})) | report_gradients();
  Store store(step, {.seed = 1});
  Program program(step, store);
  GradientHistory history;
  CHECK_THROWS_WITH(history.svg(), ContainsSubstring("no report was added"));
  for (std::int64_t s = 0; s < 5; ++s) {
    const Tensor x = Chain::feed(static_cast<std::uint32_t>(s));
    history.add(10 * s, gradient_report(program.run({{"x", x}}), step));
  }
  CHECK_THROWS_WITH(history.add(40, GradientReport{}), ContainsSubstring("step 40 was given after step 40"));
  REQUIRE(history.curves().size() == 3);
  CHECK(history.curves()[1].block == "layer/1");
  CHECK(history.curves()[1].norms.size() == 5);
  const std::string svg = history.svg("norms <of> this");
  CHECK(svg.starts_with("<svg ") == true);
  CHECK(svg.ends_with("</svg>\n"));
  CHECK_THAT(svg, ContainsSubstring("norms &lt;of&gt; this") && ContainsSubstring("<title>layer/2</title>") && ContainsSubstring(">1e"));
  CHECK_THAT(svg, !ContainsSubstring("nan") && !ContainsSubstring("inf"));
  // Highest norm is drawn highest: the last point of each curve.
  auto last_y = [&](const std::string& block) {
    const std::size_t end = svg.find("\" fill=\"none\"", svg.rfind("<path d=\"M84.0", svg.find("<title>" + block + "</title>")));
    const std::size_t space = svg.rfind(' ', end);
    return std::stod(svg.substr(space + 1, end - space - 1));
  };
  const auto& curves = history.curves();
  const bool first_is_larger = curves[0].norms.back() > curves[2].norms.back();
  CHECK((last_y("layer/0") < last_y("layer/2")) == first_is_larger);
}

TEST_CASE("mistakes around a report are said", "[core][optim][gradient_report][errors]") {
  const Chain model(2);
  const Step step = training_step(model.loss) | report_gradients();
  CHECK_THROWS_WITH(step | report_gradients(), ContainsSubstring("publishes 'flow/factor' already; hint: remove_taps()"));
  CHECK_THROWS_WITH(report_gradients({.closed_below = 2}), ContainsSubstring("closed_below must be in [0, 1), got 2"));
  CHECK_THROWS_WITH(evaluation(model.loss) | report_gradients(), ContainsSubstring("report_gradients needs"));
  CHECK_THROWS_WITH(training_step(model.loss) | optimize(sgd()) | checkpoint(every_block()) | report_gradients(),
                    ContainsSubstring("report_gradients"));
  CHECK_THROWS_WITH(step | mixed_precision(bf16), ContainsSubstring("mixed_precision"));
  const Tensor x = Chain::feed();
  const Run run(step, {{"x", x}});
  CHECK_THROWS_WITH(run.report().parameter("layer/7/weight"), ContainsSubstring("no gradient of 'layer/7/weight'; hint: the first of 4 are"));
  CHECK_THROWS_WITH(run.report().block("layer/7"), ContainsSubstring("no block 'layer/7'"));
  const Run other(training_step(model.loss), {{"x", x}});
  CHECK_THROWS_WITH(gradient_report(other.result, step), ContainsSubstring("the result has no 'flow/gradient/"));
}
