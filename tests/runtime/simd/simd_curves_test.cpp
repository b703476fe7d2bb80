// The curves with parameters, and rounding, at every level of the processor.
#include <weft/runtime/simd/simd.h>

#include <support/catch.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

using namespace weft;

namespace {

std::vector<const SimdTables*> levels() {
  std::vector<const SimdTables*> result;
  for (SimdLevel level : {SimdLevel::baseline, SimdLevel::avx2, SimdLevel::avx512})
    if (const SimdTables* tables = simd_tables(level)) result.push_back(tables);
  return result;
}

template <class T>
const Simd<T>& of(const SimdTables& tables) {
  if constexpr (std::is_same_v<T, float>) return tables.f32;
  else return tables.f64;
}

using Wide = long double;
using Law = std::function<Wide(Wide)>;

template <class T>
struct Case {
  const char* name;
  typename Simd<T>::Curve Simd<T>::* curve;
  typename Simd<T>::CurveGrad Simd<T>::* grad;
  std::vector<T> p;
  Law law, slope;
};

template <class T>
std::vector<Case<T>> cases() {
  using S = Simd<T>;
  const Wide beta = T(1.7), a = T(0.6), rate = T(0.8), tilt = T(0.2);
  return {
      {"clamp",
       &S::clamp,
       &S::clamp_grad,
       {-1, 2},
       [](Wide x) { return x < -1  ? Wide(-1)
                           : x > 2 ? Wide(2)
                                   : x; },
       [](Wide x) -> Wide { return x > -1 && x < 2 ? 1 : 0; }},
      {"leaky_relu",
       &S::leaky_relu,
       &S::leaky_relu_grad,
       {T(0.2)},
       [=](Wide x) { return x > 0 ? x : tilt * x; },
       [=](Wide x) { return x > 0 ? Wide(1) : tilt; }},
      {"elu",
       &S::elu,
       &S::elu_grad,
       {2, T(0.6), T(0.8)},
       [=](Wide x) { return x > 0 ? 2 * x : a * std::expm1(rate * x); },
       [=](Wide x) { return x > 0 ? Wide(2) : a * rate * std::exp(rate * x); }},
      {"softplus",
       &S::softplus,
       &S::softplus_grad,
       {T(1.7), 20},
       [=](Wide x) { return beta * x > 20 ? x : std::log1p(std::exp(beta * x)) / beta; },
       [=](Wide x) { return beta * x > 20 ? Wide(1) : 1 / (1 + std::exp(-beta * x)); }},
  };
}

}  // namespace

TEMPLATE_TEST_CASE("curves with parameters and their slopes keep their error, for large arguments too",
                   "[core][runtime]", float, double) {
  using T = TestType;
  const double bound = sizeof(T) == 4 ? 5e-7 : 2e-15;
  for (const SimdTables* tables : levels())
    for (const Case<T>& c : cases<T>())
      for (double reach : {1e-6, 0.01, 3.0, 40.0, 1e4}) {
        std::vector<T> x, ones(2003, T(1)), y(2003), d_x(2003);
        for (int i = 0; i < 2003; ++i) x.push_back(static_cast<T>(reach * (i - 1000.5) / 1001));
        (of<T>(*tables).*c.curve)(x.data(), c.p.data(), y.data(), 2003);
        (of<T>(*tables).*c.grad)(x.data(), ones.data(), c.p.data(), d_x.data(), 2003);
        double worst = 0, worst_slope = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
          const Wide want = c.law(x[i]);
          // Below the smallest normal numbers only what is absolute counts.
          if (std::abs(want) > std::numeric_limits<T>::min() * 1e6)
            worst = std::max(worst, static_cast<double>(std::abs((y[i] - want) / want)));
          worst_slope = std::max(worst_slope, static_cast<double>(std::abs(d_x[i] - c.slope(x[i]))));
        }
        INFO(tables->name << " " << c.name << " up to " << reach);
        // exp multiplies the rounding of beta x, 1e-7 of it, into what is left of softplus far below 0.
        CHECK(worst <= bound * std::max(1.0, std::min(reach, 100.0)));
        CHECK(worst_slope <= bound);
      }
}

TEMPLATE_TEST_CASE("curves pass NaN and know infinity", "[core][runtime]", float, double) {
  using T = TestType;
  const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const std::vector<T> x = {-inf, inf, nan};
  for (const SimdTables* tables : levels()) {
    const Simd<T>& v = of<T>(*tables);
    INFO(tables->name);
    const auto check = [&](typename Simd<T>::Curve f, std::vector<T> p, T at_minus, T at_plus) {
      std::vector<T> y(3);
      f(x.data(), p.data(), y.data(), 3);
      CHECK(y[0] == at_minus);
      CHECK(y[1] == at_plus);
      CHECK(std::isnan(y[2]));
    };
    check(v.clamp, {-1, 2}, -1, 2);
    check(v.clamp, {-inf, inf}, -inf, inf);
    check(v.clamp, {3, 1}, 1, 1);
    check(v.leaky_relu, {T(0.5)}, -inf, inf);
    check(v.elu, {2, 3, 1}, -3, inf);
    check(v.softplus, {1, 20}, 0, inf);
  }
}

TEMPLATE_TEST_CASE("round puts halves to even; floor and ceil are the whole numbers around", "[core][runtime]", float,
                   double) {
  using T = TestType;
  std::vector<T> x = {-2.5,          -1.5, -0.5, 0.5,          1.5,     2.5,      3.5,
                      T(0.49999997), -7,   0,    T(8388607.5), T(1e30), T(-1e30), T(0.3)};
  for (const SimdTables* tables : levels()) {
    std::vector<T> low(x.size()), high(x.size()), near(x.size());
    const auto n = static_cast<std::int64_t>(x.size());
    of<T>(*tables).floor(x.data(), low.data(), n);
    of<T>(*tables).ceil(x.data(), high.data(), n);
    of<T>(*tables).round(x.data(), near.data(), n);
    for (std::size_t i = 0; i < x.size(); ++i) {
      INFO(tables->name << " " << x[i]);
      CHECK(low[i] == std::floor(x[i]));
      CHECK(high[i] == std::ceil(x[i]));
      CHECK(near[i] == std::nearbyint(x[i]));
    }
  }
}
