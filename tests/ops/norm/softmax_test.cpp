#include <support/catch.h>

#include <weft/ops/norm/softmax.h>
#include <weft/runtime/program.h>

#include <cmath>
#include <limits>

using namespace weft;

namespace {
constexpr double inf = std::numeric_limits<double>::infinity();
}

TEST_CASE("softmax gives masked places nothing, and NaN for a row of -inf only", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f64, {2, 3});
  const Tensor in = Tensor::of<double>({2, 3}, {1000, -inf, 1000, -inf, -inf, -inf});
  const Tensor y = evaluate(softmax(x), {{"x", in}});
  CHECK(y.at(0) == 0.5);
  CHECK(y.at(1) == 0);
  CHECK(y.at(2) == 0.5);
  CHECK(std::isnan(y.at(3)));
}

TEST_CASE("logsumexp of nothing is -inf and of +inf is +inf", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f64, {3, 2});
  const Tensor in = Tensor::of<double>({3, 2}, {-inf, -inf, inf, 0, 1000, 1000});
  const Tensor rows = evaluate(logsumexp(x), {{"x", in}});
  CHECK(rows.at(0) == -inf);
  CHECK(rows.at(1) == inf);
  CHECK(rows.at(2) == Approx(1000 + std::log(2.0)).epsilon(1e-15));
  const Tensor columns = Tensor::of<double>({3, 2}, {-inf, 1000, -inf, -inf, -inf, 1000});
  const Tensor y = evaluate(logsumexp(x, {.axis = 0, .keep = true}), {{"x", columns}});
  CHECK(y.extents() == Tensor::Extents{1, 2});
  CHECK(y.at(0) == -inf);
  CHECK(y.at(1) == Approx(1000 + std::log(2.0)).epsilon(1e-15));
}

TEST_CASE("log_softmax keeps its digits far from zero", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f64, {3});
  const Tensor y = evaluate(log_softmax(x), {{"x", Tensor::of<double>({3}, {1e6, 1e6 + 1, 1e6 - 1})}});
  const double total = std::log(std::exp(-1.0) + 1 + std::exp(-2.0));
  CHECK(y.at(0) == Approx(-1 - total).epsilon(1e-14));
  CHECK(y.at(1) == Approx(-total).epsilon(1e-14));
  CHECK(y.at(2) == Approx(-2 - total).epsilon(1e-14));
}
