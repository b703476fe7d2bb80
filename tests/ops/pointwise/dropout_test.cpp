#include <support/catch.h>

#include <weft/autodiff/gradient.h>
#include <weft/ops/pointwise/dropout.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/runtime/program.h>

#include <algorithm>

using namespace weft;

namespace {

Tensor ones_of(Tensor::Extents extents) {
  Tensor x(f32, std::move(extents));
  std::fill_n(x.data<float>(), x.size(), 1.0F);
  return x;
}

}  // namespace

TEST_CASE("dropout keeps a share of 1 - p and scales it by 1 / (1 - p)", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f32, {200, 500});
  const Tensor y = evaluate(dropout(x, 0.2), {{"x", ones_of({200, 500})}});
  std::int64_t kept = 0;
  for (const float value : y.values<float>()) {
    kept += value != 0;
    if (value != 0) REQUIRE(value == 1.25F);
  }
  CHECK(std::abs(static_cast<double>(kept) / 1e5 - 0.8) < 0.006);  // 4.7 standard deviations
}

TEST_CASE("dropout's gradient is its own mask", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f32, {7, 33});
  const Value y = dropout(x, 0.5), d = gradient(sum(y), {x}).front();
  const Tensor in = ones_of({7, 33});
  const std::vector<Feed> feeds{{"x", in}};
  const std::vector<Tensor> both = evaluate({y, d}, feeds);
  CHECK(same_bits(both[0], both[1]));
}

TEST_CASE("two dropouts, two seeds and two runs draw different masks; the same ones draw the same", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f32, {4, 64});
  const Value a = dropout(x, 0.5), b = dropout(x, 0.5);
  const Tensor in = ones_of({4, 64});
  const std::vector<Feed> feeds{{"x", in}};
  const std::vector<Tensor> both = evaluate({a, b}, feeds);
  CHECK_FALSE(same_bits(both[0], both[1]));
  CHECK(same_bits(both[0], evaluate(a, feeds)));
  CHECK_FALSE(same_bits(both[0], evaluate(a, feeds, 1)));
}

TEST_CASE("dropout with p = 0 builds nothing", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f32, {4});
  CHECK(dropout(x, 0) == x);
}
