// Small models for the tests of gradient reports, and one run of each.
#pragma once

#include <weft/inspect/gradients/gradient_report.h>
#include <weft/inspect/gradients/tap_gradients.h>
#include <weft/weft.h>

#include <cmath>
#include <functional>
#include <random>
#include <utility>
#include <vector>

namespace weft::test {

// x [batch, 6] through layers of width 6 to one number.
struct Chain {
  Graph graph;
  Dim batch = graph.dim("batch", 8);
  Value x = graph.input("x", f32, {batch, 6});
  std::vector<Value> weights, biases;
  Loss loss;

  using Block = std::function<Value(const Value& x, const Value& weight, const Value& bias)>;
  explicit Chain(
      int depth, double deviation = 0.5,
      const Block& block = [](const Value& x, const Value& w, const Value& b) { return tanh(linear(x, w, b)); }) {
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
  GradientReport report(const GradientThresholds& thresholds = {}) const {
    return gradient_report(result, step, thresholds);
  }
};

inline double norm_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

inline nn::Gpt gpt(Graph graph, double dropout = 0, std::int64_t layers = 2) {
  return {graph, {.vocab = 17, .layers = layers, .heads = 2, .width = 16, .context = 8, .dropout = dropout}};
}
inline Loss loss_of(Graph graph, const nn::Gpt& model) {
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

}  // namespace weft::test
