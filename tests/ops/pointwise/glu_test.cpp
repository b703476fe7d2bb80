#include <support/catch.h>

#include <weft/ops/pointwise/glu.h>
#include <weft/runtime/program.h>

#include <algorithm>
#include <cmath>

using namespace weft;

TEST_CASE("gated units multiply the first half by the activated second, along any axis", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f64, {2, 4});
  const Tensor xs = Tensor::of<double>({2, 4}, {0.5, -1, 2, -3, 1.5, 0.25, -0.75, 4});
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  // Dauphin et al. 2017, eq. 1; Shazeer 2020, eq. 5.
  const std::pair<Value (*)(const Arg&, std::int64_t), std::function<double(double)>> units[] = {
      {glu, sigmoid},
      {reglu, [](double v) { return std::max(v, 0.0); }},
      {geglu, [](double v) { return v / 2 * (1 + std::erf(v / std::sqrt(2.0))); }},
      {swiglu, [&](double v) { return v * sigmoid(v); }}};
  for (const auto& [unit, f] : units) {
    const auto y = evaluate({unit(x, -1), unit(x, 0)}, std::vector<Feed>{{"x", xs}});
    REQUIRE(y[0].extents() == Tensor::Extents{2, 2});
    REQUIRE(y[1].extents() == Tensor::Extents{1, 4});
    for (std::int64_t r = 0; r < 2; ++r)
      for (std::int64_t c = 0; c < 2; ++c)
        CHECK(y[0].at(2 * r + c) == Approx(xs.at(4 * r + c) * f(xs.at(4 * r + 2 + c))).epsilon(1e-14));
    for (std::int64_t c = 0; c < 4; ++c) CHECK(y[1].at(c) == Approx(xs.at(c) * f(xs.at(4 + c))).epsilon(1e-14));
  }
}

TEST_CASE("an axis of odd extent has no halves", "[core][ops][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {2, 3});
  CHECK_THROWS_WITH(glu(x), ContainsSubstring("expected an even extent, got f32[2, 3]"));
  CHECK_THROWS_WITH(swiglu(x, 2), ContainsSubstring("axis 2 is outside"));
}
