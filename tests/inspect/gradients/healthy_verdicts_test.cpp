// Models that a report must not complain of, each beside one that it must.
#include <optim/gradient_chain.h>

#include <support/catch.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>

using namespace weft;
using namespace weft::test;

namespace {

Tensor normals(std::vector<std::int64_t> extents, std::uint32_t seed = 6) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Tensor tensor(f32, extents);
  for (std::int64_t i = 0; i < tensor.size(); ++i) tensor.data<float>()[i] = normal(random);
  return tensor;
}
Value row(Graph graph, const std::vector<float>& values) {
  Constant constant{{f32, {static_cast<std::int64_t>(values.size())}}, std::vector<std::byte>(4 * values.size())};
  std::memcpy(constant.bytes.data(), values.data(), constant.bytes.size());
  return graph.constant(std::move(constant));
}

}  // namespace

TEST_CASE("heads beside the way to the loss, detached probes and idle experts are neither vanishing nor exploding",
          "[core][optim][gradient_verdicts]") {
  for (const double coefficient : {1e-5, 1e5}) {
    Graph graph;
    const Dim batch = graph.dim("batch", 8);
    const Value x = graph.input("x", f32, {batch, 6}), y = graph.input("y", f32, {batch, 4});
    const nn::Linear first(graph, "encoder/0", {.in = 6, .out = 6}), second(graph, "encoder/1", {.in = 6, .out = 6});
    const nn::Linear head(graph, "head", {.in = 6, .out = 4}), aux(graph, "aux", {.in = 6, .out = 4});
    const Value h = tanh(second(tanh(first(x))));
    const Tensor fed = normals({8, 6}), target = normals({8, 4}, 7);
    const Loss main = mse_loss(head(h), y);
    for (const Loss& loss :
         {main + coefficient * mse_loss(aux(h), y), main + coefficient * mse_loss(aux(stop_gradient(h)), y)}) {
      const GradientReport report = Run(training_step(loss) | tap_gradients(), {{"x", fed}, {"y", target}}).report();
      INFO(report);
      CHECK(report.of(Verdict::Kind::vanishing).empty());
      CHECK(report.of(Verdict::Kind::exploding).empty());
    }
  }
  {  // Two towers, each with a loss of its own: neither is measured by the other's.
    Graph graph;
    const Dim batch = graph.dim("batch", 8);
    const Value x = graph.input("x", f32, {batch, 6});
    Value losses[3];
    for (int i = 0; i < 3; ++i) {
      const nn::Linear in(graph, fmt::format("tower{}_in", i), {.in = 6, .out = 6}),
          out(graph, fmt::format("tower{}_out", i), {.in = 6, .out = 4});
      losses[i] = mean(square(out(tanh(in(x)) * (i == 2 ? 1e-6 : 1.0)) + 1.0));
    }
    const Tensor fed = normals({8, 6});
    for (const double factor : {1e-6, 1e6}) {
      const GradientReport report =
          Run(training_step(Loss(losses[0] + losses[1] * factor)) | tap_gradients(), {{"x", fed}}).report();
      INFO(report);
      CHECK(report.of(Verdict::Kind::vanishing).empty());
      CHECK(report.of(Verdict::Kind::exploding).empty());
    }
    // Nor does a small loss beside it hide where one falls.
    const GradientReport fallen =
        Run(training_step(Loss(losses[0] * 1e-9 + losses[2])) | tap_gradients(), {{"x", fed}}).report();
    INFO(fallen);
    REQUIRE(fallen.of(Verdict::Kind::vanishing).size() == 1);
    CHECK(fallen.of(Verdict::Kind::vanishing).front().path == "tower2_in");
    CHECK_THAT(fallen.of(Verdict::Kind::vanishing).front().message, ContainsSubstring("between tower2_out and here"));
  }
  // A branch that counts for next to nothing, beside one that carries the gradient further back.
  Graph graph;
  const Dim batch = graph.dim("batch", 8);
  const Value x = graph.input("x", f32, {batch, 6});
  const nn::Linear in(graph, "in", {.in = 6, .out = 6}), out(graph, "out", {.in = 6, .out = 4});
  const nn::Linear one(graph, "expert/0", {.in = 6, .out = 6}), other(graph, "expert/1", {.in = 6, .out = 6});
  const Value h = tanh(in(x));
  const Tensor fed = normals({8, 6});
  const Loss side = weighted_mean(square(out(one(h) + other(h) * 1e-6)));
  const GradientReport beside = Run(training_step(side) | tap_gradients(), {{"x", fed}}).report();
  CHECK(beside.block("expert/1").gives < 1e-3 * beside.block("out").gives);
  CHECK(beside.of(Verdict::Kind::vanishing).empty());
  // The same factor on the only way is one.
  const Loss through = weighted_mean(square(out(other(h) * 1e-6) + 1.0));
  const GradientReport only = Run(training_step(through) | tap_gradients(), {{"x", fed}}).report();
  REQUIRE(only.of(Verdict::Kind::vanishing).size() == 1);
  CHECK_THAT(only.of(Verdict::Kind::vanishing).front().message, ContainsSubstring("between out and here"));
}

TEST_CASE("what the data masks, features that no example has and a batch of one are no dead units",
          "[core][optim][gradient_verdicts]") {
  const auto dead = [](const Value& y, const std::vector<Feed>& feeds, std::uint64_t seed = 1) {
    const GradientReport report =
        Run(training_step(weighted_mean(square(y + 0.1))) | tap_gradients(), feeds, seed).report();
    INFO(report);
    return report.of(Verdict::Kind::dead_units);
  };
  const Tensor fed = normals({16, 8});
  Tensor sparse(f32, {16, 20});
  for (std::int64_t i = 0; i < 16; ++i) sparse.data<float>()[i * 20 + i % 4] = 1;
  {
    INFO("a fixed mask");
    Graph graph;
    const Value x = graph.input("x", f32, {graph.dim("batch", 16), 8}),
                w = graph.parameter("w", {f32, {8, 8}}, init::normal(0, 1));
    const Value mask = row(graph, {1, 0, 0, 0, 0, 0, 1, 0});
    CHECK(dead(linear(x, w, Value{}) * mask, {{"x", fed}}).size() == 1);  // w's own rows: they do not learn
    Graph other;
    const Value input = other.input("x", f32, {other.dim("batch", 16), 8});
    const nn::Linear first(other, "first", {.in = 8, .out = 8}), last(other, "last", {.in = 8, .out = 8});
    const Value keep = other.input("keep", f32, {16, 8});
    Tensor most(f32, {16, 8});
    for (std::int64_t i = 0; i < 16; ++i) most.data<float>()[i * 8 + 3] = 1;
    const std::vector<Verdict> found = dead(last(tanh(first(input)) * keep), {{"x", fed}, {"keep", most}});
    CHECK(std::ranges::none_of(found, [](const Verdict& verdict) { return verdict.path == "multiply"; }));
  }
  for (const bool matrix : {true, false}) {
    INFO((matrix ? "features of a [in, out] weight" : "features of a vector"));
    Graph graph;
    const Value x = graph.input("x", f32, {graph.dim("batch", 16), 20});
    const Value w = graph.parameter("w", {f32, matrix ? Shape{20, 4} : Shape{20}}, init::normal(0, 1));
    CHECK(dead(matrix ? matmul(x, w) : sum(x * w, {.axes = {1}}), {{"x", sparse}}).empty());
  }
  for (const std::int64_t examples : {1, 8}) {
    INFO(examples << " examples");
    std::size_t found = 0;
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      Graph graph;
      const Value x = graph.input("x", f32, {graph.dim("batch", examples), 8});
      const nn::Linear first(graph, "first", {.in = 8, .out = 16}), last(graph, "last", {.in = 16, .out = 4});
      const Tensor rows = normals({examples, 8}, static_cast<std::uint32_t>(seed));
      found += dead(last(relu(first(x))), {{"x", rows}}, seed).size();
    }
    CHECK(found == 0);
  }
  {
    INFO("columns of a [in, out] weight that a relu closes");
    Graph graph;
    const Value x = graph.input("x", f32, {graph.dim("batch", 16), 8}),
                w = graph.parameter("w", {f32, {8, 6}}, init::normal(0, 1));
    const Value low = row(graph, {-50, -50, -50, -50, 0, 0});
    const std::vector<Verdict> found = dead(relu(matmul(x, w) + low), {{"x", fed}});
    CHECK(std::ranges::any_of(
        found, [](const Verdict& verdict) { return verdict.path == "w" && verdict.value == Approx(4.0 / 6); }));
    CHECK(std::ranges::any_of(found, [](const Verdict& verdict) { return verdict.path == "relu"; }));
    const Value h = matmul(x, w) + low;
    CHECK(std::ranges::any_of(dead(where(greater(h, 0.0), h, 0.0), {{"x", fed}}),
                              [](const Verdict& verdict) { return verdict.path == "where"; }));
  }
}

TEST_CASE("parts that start at 0 are healthy in their first steps", "[core][optim][gradient_verdicts]") {
  const Tensor fed = normals({8, 6}), target = normals({8, 6}, 9);
  struct Model {
    std::string name, waits, factor;
    std::function<Value(Graph, const Value&)> build;
  };
  const auto zeros = [](Graph graph, const std::string& name, const Shape& shape) {
    return graph.parameter(name, {f32, shape}, init::zeros());
  };
  const std::vector<Model> models{
      {"LoRA", "lora/a", "lora/b",
       [&](Graph graph, const Value& x) {
         const Value a = graph.parameter("lora/a", {f32, {2, 6}}, init::normal(0, 0.5)),
                     b = zeros(graph, "lora/b", {6, 2});
         return nn::Linear(graph, "base", {.in = 6, .out = 6})(x) + linear(linear(x, a), b) * 2.0;
       }},
      {"ReZero", "block/0/f/weight", "block/0/alpha",
       [&](Graph graph, const Value& x) {
         return x + zeros(graph, "block/0/alpha", {}) * tanh(nn::Linear(graph, "block/0/f", {.in = 6, .out = 6})(x));
       }},
      {"a last layer of zeros", "ff/w1", "ff/w2",
       [&](Graph graph, const Value& x) {
         return x + feed_forward(x, graph.parameter("ff/w1", {f32, {9, 6}}, init::normal(0, 0.5)),
                                 zeros(graph, "ff/w2", {6, 9}));
       }},
      {"a gain of zeros", "f/weight", "gain",
       [&](Graph graph, const Value& x) {
         return x + layer_norm(nn::Linear(graph, "f", {.in = 6, .out = 6})(x), zeros(graph, "gain", {6}), Value{});
       }},
      {"a token of zeros", "", "",
       [&](Graph graph, const Value& x) {
         return nn::Linear(graph, "f", {.in = 6, .out = 6})(x + zeros(graph, "token", {1, 6})) +
                nn::Linear(graph, "g", {.in = 6, .out = 6})(x);
       }},
  };
  for (const Model& model : models) {
    INFO(model.name);
    Graph graph;
    const Dim batch = graph.dim("batch", 8);
    const Value x = graph.input("x", f32, {batch, 6}), y = graph.input("y", f32, {batch, 6});
    const Step step = training_step(mse_loss(model.build(graph, x), y)) |
                      optimize(adamw({.rate = warmup_cosine(1e-2, 10, 100)})) | tap_gradients();
    Store store(step, {.seed = 3});
    Program program(step, store);
    for (int i = 0; i < 4; ++i) {
      const GradientReport report = gradient_report(program.run({{"x", fed}, {"y", target}}), step);
      INFO("step " << i << "\n" << report);
      CHECK(report.healthy());
      // The first update has a rate of 1/10 of the greatest: it moves what is 0.
      if (!model.waits.empty()) CHECK(report.parameter(model.waits).waits_for == (i == 0 ? model.factor : ""));
    }
  }
  // Both factors at 0: neither will ever move.
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 8), 6});
  const Value a = zeros(graph, "a", {2, 6}), b = zeros(graph, "b", {6, 2});
  const GradientReport stuck =
      Run(training_step(weighted_mean(square(x + linear(linear(x, a), b)))) | tap_gradients(), {{"x", fed}}).report();
  CHECK(stuck.of(Verdict::Kind::no_flow).size() == 2);
}

TEST_CASE("a small loss and one that is learned are no fault", "[core][optim][gradient_verdicts]") {
  const Chain model(3);
  const Tensor x = Chain::feed();
  CHECK(Run(training_step(1e-9 * model.loss) | tap_gradients(), {{"x", x}}).report().healthy());
  Graph graph;
  const Dim batch = graph.dim("batch", 8);
  const Value in = graph.input("x", f32, {batch, 6}), w = graph.parameter("w", {f32, {1, 6}}, init::ones());
  const Value y = graph.input("y", f32, {batch, 1});
  Tensor sums(f32, {8, 1});
  for (std::int64_t i = 0; i < 48; ++i) sums.data<float>()[i / 6] += x.data<float>()[i];
  const GradientReport learned =
      Run(training_step(mse_loss(linear(in, w), y)) | tap_gradients(), {{"x", x}, {"y", sums}}).report();
  INFO(learned);
  CHECK(learned.loss < 1e-12);
  CHECK(learned.healthy());
  // A loss of usual size with a gradient of 0 is one.
  const GradientReport lost =
      Run(training_step(mse_loss(linear(in, w * 0.0), y + 1.0)) | tap_gradients(), {{"x", x}, {"y", sums}}).report();
  CHECK(lost.of(Verdict::Kind::no_flow).size() == 1);
}
