#include <support/catch.h>

#include <weft/autodiff/gradient.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/runtime/program.h>

using namespace weft;

TEST_CASE("one-dimensional operands of matmul are a row and a column", "[core][ops]") {
  Graph graph;
  const Value v = graph.input("v", f64, {3});
  const Value m = graph.input("m", f64, {2, 3, 2});
  CHECK(matmul(v, v).shape() == Shape{});
  CHECK(matmul(v, m).shape() == Shape{2, 2});
  CHECK(matmul(m, v, {.transpose_a = true}).shape() == Shape{2, 2});
  CHECK(evaluate(matmul(v, v), {{"v", Tensor::of<double>({3}, {1, 2, 3})}}).item() == 14);
}

TEST_CASE("the gradient of a weight shared by all rows is one product", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 4), 5, 3});
  const Value w = graph.input("w", f32, {3, 2});
  const Value d = gradient(sum(matmul(x, w)), {w}).front();
  CHECK(d.node().op->name == "matmul");
  CHECK(d.shape() == Shape{3, 2});
  const Value weight = graph.input("weight", f32, {2, 3});
  CHECK(gradient(sum(linear(x, weight)), {weight}).front().node().op->name == "matmul");
}
