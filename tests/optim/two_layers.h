// A small model for the tests of mixed precision.
#pragma once

#include <weft/weft.h>

#include <cmath>
#include <functional>

namespace weft::test {

// Two weights with something between: x [batch, 3] -> h [batch, 4] -> f(h) -> y [batch, 2], and the mean of its
// squares.
struct TwoLayers {
  Graph graph;
  Value x, w1, w2, h, between, y;
  Loss loss;
  explicit TwoLayers(const std::function<Value(const Value&)>& f = [](const Value& v) { return relu(v); }) {
    x = graph.input("x", f32, {graph.dim("batch", 4), 3});
    w1 = graph.parameter("first/weight", {f32, {4, 3}}, init::normal(0, 1));
    w2 = graph.parameter("second/weight", {f32, {2, 4}}, init::normal(0, 1));
    {
      const auto scope = graph.scope("first");
      h = linear(x, w1, Value{});
    }
    {
      const auto scope = graph.scope("between");
      between = f(h);
    }
    const auto scope = graph.scope("second");
    y = linear(between, w2, Value{});
    loss = LossTerm{1, sum(square(y)), full(graph, {}, f32, 4)};
  }
};

inline Tensor some_x() {
  Tensor x(f32, {4, 3});
  for (std::int64_t i = 0; i < 12; ++i) x.data<float>()[i] = static_cast<float>(std::sin(1.0 + static_cast<double>(i)));
  return x;
}

inline DType dtype_in(const Step& step, const Value& value) { return step.find(value).dtype(); }

}  // namespace weft::test
