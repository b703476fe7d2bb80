#include <support/catch.h>

#include <weft/weft.h>

using namespace weft;

TEST_CASE("a gradient can be differentiated again", "[core][autodiff]") {
  Graph graph;
  const Value x = graph.input("x", f64, {});
  const Value y = x * x * x;
  const Value first = gradient(y, {x}).front();
  const Value second = gradient(first, {x}).front();
  const Value third = gradient(second, {x}).front();
  const Tensor at = Tensor::scalar(2.0);
  CHECK(evaluate(first, {{"x", at}}).item() == 12);
  CHECK(evaluate(second, {{"x", at}}).item() == 12);
  CHECK(evaluate(third, {{"x", at}}).item() == 6);
}

TEST_CASE("broadcast operands get the sum over their copies", "[core][autodiff]") {
  Graph graph;
  const Value x = graph.input("x", f64, {4, 3});
  const Value row = graph.input("row", f64, {3});
  const Value column = graph.input("column", f64, {4, 1});
  const Value scalar = graph.input("scalar", f64, {});
  const auto gradients = gradient(sum(x * row + column * scalar), {row, column, scalar});
  CHECK(gradients[0].shape() == Shape{3});
  CHECK(gradients[1].shape() == Shape{4, 1});
  CHECK(gradients[2].shape() == Shape{});
  const Tensor a(f64, {4, 3}), b(f64, {3}), c = Tensor::of<double>({4, 1}, {1, 2, 3, 4}), d = Tensor::scalar(2.0);
  CHECK(evaluate(gradients[2], {{"x", a}, {"row", b}, {"column", c}, {"scalar", d}}).item() == 30);
}

TEST_CASE("stop_gradient cuts, and what it cuts off is an error that says so", "[core][autodiff][errors]") {
  Graph graph;
  const Value x = graph.input("x", f64, {3});
  const Value y = sum(stop_gradient(x) * 2.0);
  CHECK_THROWS_WITH(gradient(y, {x}), ContainsSubstring("does not depend on x (gradient_test.cpp:"));
  CHECK(gradient(y, {x}, {.allow_unused = true}).front().absent());
}

TEST_CASE("only what leads to the asked values is differentiated", "[core][autodiff]") {
  Graph graph;
  const Value x = graph.input("x", f64, {3});
  const Value z = graph.input("z", f64, {3});
  const Value first = exp(x), second = exp(z);
  const Value y = sum(first * second);
  const std::size_t before = graph.size();
  gradient(y, {x});
  std::size_t for_z = 0;
  for (NodeId id : graph.ids().subspan(before))
    if (graph.node(id).name.find("gradient/exp_1") != std::string::npos) ++for_z;
  CHECK(for_z == 0);
}

TEST_CASE("an op without a backward is an error at the user's line that says what to write",
          "[core][autodiff][errors]") {
  static const OpDef hard{.name = "hard",
                          .infer = [](const OpView& view) -> std::vector<TensorType> { return {view.type(0)}; }};
  Graph graph;
  const Value x = graph.input("x", f64, {3});
  const Value y = graph.apply(hard, {x}).front();
  CHECK_THROWS_WITH(gradient(sum(y), {x}), ContainsSubstring("hard (gradient_test.cpp:") &&
                                               ContainsSubstring("this op has no backward") &&
                                               ContainsSubstring(".plain"));
}

TEST_CASE("a wrong backward fails the check, by its size or by its order", "[core][autodiff]") {
  // d tanh = 1 - y^2; the wrong one is off by a part in 10^5: within gradcheck's tolerances, but no derivative.
  static double factor = 1.0;
  static const OpDef almost{
      .name = "almost_tanh",
      .infer = [](const OpView& view) -> std::vector<TensorType> { return {view.type(0)}; },
      .batch = [](const OpView&, std::span<const BatchState> in) { return std::vector<BatchState>{in[0]}; },
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) * (1.0 - b.out(0) * b.out(0)) * factor); },
      .kernels = tanh_op().kernels};
  Graph graph;
  const Value x = graph.input("x", f64, {5});
  const Value y = graph.apply(almost, {x}).front();
  const Tensor at = Tensor::of<double>({5}, {-1, -0.3, 0.2, 0.9, 1.4});
  const GradientCheck right = check_gradients(y, {x}, {{"x", at}});
  INFO(right.str());
  CHECK(right.passed());
  CHECK(right.order == Approx(2).epsilon(0.1));
  factor = 1.00001;
  CHECK_FALSE(check_gradients(y, {x}, {{"x", at}}).passed());
  CHECK(check_gradients(y, {x}, {{"x", at}}, {.slope = false}).passed());
  factor = 1.0;
}
