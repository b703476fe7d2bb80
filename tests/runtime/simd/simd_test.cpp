// Not precompiled: names of its own that <weft/weft.h> has as well.
#include <weft/runtime/simd/simd.h>

#include <weft/graph/dtype.h>

#include <support/catch.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

using namespace weft;

namespace {

std::vector<const SimdTables*> levels() {
  std::vector<const SimdTables*> result;
  for (SimdLevel level : {SimdLevel::baseline, SimdLevel::avx2, SimdLevel::avx512}) {
    if (const SimdTables* tables = simd_tables(level)) result.push_back(tables);
  }
  return result;
}

template <class T>
const Simd<T>& of(const SimdTables& tables);
template <>
const Simd<float>& of<float>(const SimdTables& tables) {
  return tables.f32;
}
template <>
const Simd<double>& of<double>(const SimdTables& tables) {
  return tables.f64;
}

template <class T>
std::vector<T> line(double from, double to, std::size_t count) {
  std::vector<T> x(count);
  for (std::size_t i = 0; i < count; ++i) {
    x[i] = static_cast<T>(from + (to - from) * (static_cast<double>(i) + 0.37) / static_cast<double>(count));
  }
  return x;
}

using Wide = long double;
using Law = std::function<Wide(Wide)>;

const Law sigmoid = [](Wide x) { return 1 / (1 + std::exp(-x)); };
const Law log_sigmoid = [](Wide x) { return -std::log1p(std::exp(-x)); };
const Law mish = [](Wide x) { return x * std::tanh(std::log1p(std::exp(x))); };
const Law gelu_gate = [](Wide x) { return std::erfc(-x / std::sqrt(Wide(2))) / 2; };
const Wide tanh_a = std::sqrt(2 / Wide(3.14159265358979323846L)) * 2, tanh_b = 0.044715L;
const Law tanh_gate = [](Wide x) { return sigmoid(tanh_a * (x + tanh_b * x * x * x)); };

template <class T>
struct Case {
  const char* name;
  typename Simd<T>::Unary Simd<T>::* function;
  Law law;
  double from, to;
  double f32_bound, f64_bound;
};

template <class T>
std::vector<Case<T>> cases() {
  using S = Simd<T>;
  return {
      {"exp", &S::exp, [](Wide x) { return std::exp(x); }, -86, 88, 1.3e-7, 1e-15},
      {"log", &S::log, [](Wide x) { return std::log(x); }, 1e-3, 1e4, 9e-8, 1e-15},
      {"tanh", &S::tanh, [](Wide x) { return std::tanh(x); }, -10, 10, 1.5e-7, 1e-15},
      {"erf", &S::erf, [](Wide x) { return std::erf(x); }, -5, 5, 1.8e-7, 1e-15},
      {"expm1", &S::expm1, [](Wide x) { return std::expm1(x); }, -86, 88, 3e-7, 1e-15},
      {"log1p", &S::log1p, [](Wide x) { return std::log1p(x); }, -0.9, 9000, 3e-7, 1e-15},
      {"log_sigmoid", &S::log_sigmoid, log_sigmoid, -80, 80, 3e-7, 1e-15},
      {"mish", &S::mish, mish, -80, 80, 5e-7, 1e-15},
      {"sigmoid", &S::sigmoid, sigmoid, -80, 80, 3e-7, 1e-15},
      {"silu", &S::silu, [](Wide x) { return x * sigmoid(x); }, -80, 80, 3e-7, 1e-15},
      {"gelu", &S::gelu, [](Wide x) { return x * gelu_gate(x); }, -12, 12, 4.5e-6, 3e-14},
      {"gelu", &S::gelu, [](Wide x) { return x * gelu_gate(x); }, -3, 12, 5e-7, 4e-15},
      {"gelu_tanh", &S::gelu_tanh, [](Wide x) { return x * tanh_gate(x); }, -4, 10, 1.2e-6, 4e-15},
  };
}

template <class T>
double worst_relative(const std::vector<T>& got, const std::vector<T>& x, const Law& law) {
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Wide expected = law(static_cast<Wide>(x[i]));
    if (expected == 0) continue;
    worst = std::max(worst, static_cast<double>(std::fabs((got[i] - expected) / expected)));
  }
  return worst;
}

template <class T>
bool same_bits(const T* a, const T* b, std::size_t count) {
  return std::memcmp(a, b, count * sizeof(T)) == 0;
}

}  // namespace

TEMPLATE_TEST_CASE("elementary functions keep their stated relative error", "[core][runtime]", float, double) {
  using T = TestType;
  for (const SimdTables* tables : levels()) {
    for (const Case<T>& c : cases<T>()) {
      for (double shrink : {1.0, 0.1, 0.001}) {
        if (c.from > 0 && shrink < 1) continue;
        const std::vector<T> x = line<T>(c.from * shrink, c.to * shrink, 40001);
        std::vector<T> y(x.size());
        (of<T>(*tables).*c.function)(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
        INFO(tables->name << " " << c.name << " " << shrink);
        CHECK(worst_relative(y, x, c.law) <= (sizeof(T) == 4 ? c.f32_bound : c.f64_bound));
      }
    }
  }
}

TEMPLATE_TEST_CASE("slopes of the activations keep their stated error", "[core][runtime]", float, double) {
  using T = TestType;
  const Wide root_two_pi = std::sqrt(2 * Wide(3.14159265358979323846L));
  const Law silu_slope = [](Wide x) { return sigmoid(x) * (1 + x * (1 - sigmoid(x))); };
  const Law gelu_slope = [=](Wide x) { return gelu_gate(x) + x * std::exp(-x * x / 2) / root_two_pi; };
  const Law tanh_slope = [](Wide x) {
    const Wide s = tanh_gate(x);
    return s + x * s * (1 - s) * tanh_a * (1 + 3 * tanh_b * x * x);
  };
  const Law tanh_law_slope = [](Wide x) { return 1 - std::tanh(x) * std::tanh(x); };
  const Law sigmoid_slope = [](Wide x) { return sigmoid(x) * (1 - sigmoid(x)); };
  const Law mish_slope = [](Wide x) {
    const Wide g = std::tanh(std::log1p(std::exp(x)));
    return g + x * (1 - g * g) * sigmoid(x);
  };
  const Law hardsigmoid_slope = [](Wide x) -> Wide { return std::fabs(x) < 3 ? 1 / Wide(6) : 0; };
  const Law hardswish_slope = [](Wide x) -> Wide { return x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5L; };
  const Law relu_slope = [](Wide x) -> Wide { return x > 0 ? 1 : 0; };
  for (const SimdTables* tables : levels()) {
    const Simd<T>& v = of<T>(*tables);
    const std::vector<T> x = line<T>(-9, 9, 20011);
    const std::vector<T> ones(x.size(), T(1));
    const auto check = [&](const char* name, typename Simd<T>::UnaryGrad grad, const Law& law) {
      std::vector<T> d_x(x.size());
      grad(x.data(), ones.data(), d_x.data(), static_cast<std::int64_t>(x.size()));
      double worst = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        worst = std::max(worst, static_cast<double>(std::fabs(d_x[i] - law(x[i]))));
      }
      INFO(tables->name << " " << name);
      CHECK(worst <= (sizeof(T) == 4 ? 3e-7 : 1e-15));
    };
    check("silu", v.silu_grad, silu_slope);
    check("gelu", v.gelu_grad, gelu_slope);
    check("gelu_tanh", v.gelu_tanh_grad, tanh_slope);
    check("relu", v.relu_grad, relu_slope);
    check("tanh", v.tanh_grad, tanh_law_slope);
    check("sigmoid", v.sigmoid_grad, sigmoid_slope);
    check("log_sigmoid", v.log_sigmoid_grad, [](Wide z) { return sigmoid(-z); });
    check("mish", v.mish_grad, mish_slope);
    check("hardsigmoid", v.hardsigmoid_grad, hardsigmoid_slope);
    check("hardswish", v.hardswish_grad, hardswish_slope);
  }
}

// The same bits, of NaN whatever its sign and payload.
template <class T>
bool same_number(T a, T b) {
  return same_bits(&a, &b, 1) || (std::isnan(a) && std::isnan(b));
}

TEMPLATE_TEST_CASE("a value and a slope made together have the bits of each alone, in place too", "[core][runtime]",
                   float, double) {
  using T = TestType;
  using S = Simd<T>;
  struct Three {
    typename Simd<T>::UnaryBoth S::* both;
    typename Simd<T>::Unary S::* value;
    typename Simd<T>::UnaryGrad S::* slope;
  };
  std::vector<T> x = line<T>(-12, 12, 1003);
  x.insert(x.end(), {std::numeric_limits<T>::infinity(), std::numeric_limits<T>::quiet_NaN()});
  const std::vector<T> d_y = line<T>(-2, 3, static_cast<int>(x.size()));
  for (const SimdTables* tables : levels()) {
    const S& v = of<T>(*tables);
    for (const Three& f :
         {Three{&S::gelu_both, &S::gelu, &S::gelu_grad}, Three{&S::gelu_tanh_both, &S::gelu_tanh, &S::gelu_tanh_grad},
          Three{&S::silu_both, &S::silu, &S::silu_grad}}) {
      std::vector<T> y(x.size()), d_x(x.size()), x_place = x, d_place = d_y;
      const auto n = static_cast<std::int64_t>(x.size());
      (v.*f.value)(x.data(), y.data(), n);
      (v.*f.slope)(x.data(), d_y.data(), d_x.data(), n);
      (v.*f.both)(x_place.data(), d_place.data(), x_place.data(), d_place.data(), n);
      INFO(tables->name);
      for (std::size_t i = 0; i < x.size(); ++i) {
        INFO(x[i]);
        CHECK(same_number(x_place[i], y[i]));
        CHECK(same_number(d_place[i], d_x[i]));
      }
    }
  }
}

TEMPLATE_TEST_CASE("an element's bits do not depend on its place or on the count", "[core][runtime]", float, double) {
  using T = TestType;
  using S = Simd<T>;
  const std::vector<T> x = line<T>(-7, 7, 71);
  for (const SimdTables* tables : levels()) {
    const S& v = of<T>(*tables);
    for (auto function : {&S::exp, &S::tanh, &S::erf, &S::sigmoid, &S::silu, &S::gelu, &S::gelu_tanh, &S::mish,
                          &S::expm1, &S::log1p, &S::sqrt, &S::reciprocal, &S::square}) {
      std::vector<T> whole(x.size());
      (v.*function)(x.data(), whole.data(), static_cast<std::int64_t>(x.size()));
      for (std::size_t from = 0; from < x.size(); from += 3) {
        for (std::size_t count = 0; from + count <= x.size(); count += 5) {
          std::vector<T> part(count + 1, T(42));
          (v.*function)(x.data() + from, part.data(), static_cast<std::int64_t>(count));
          REQUIRE(same_bits(part.data(), whole.data() + from, count));
          REQUIRE(part[count] == T(42));
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("infinities and NaN pass as IEEE arithmetic says", "[core][runtime]", float, double) {
  using T = TestType;
  const T inf = std::numeric_limits<T>::infinity();
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const SimdTables* tables : levels()) {
    const Simd<T>& v = of<T>(*tables);
    INFO(tables->name);
    const std::vector<T> x = {-inf, inf, nan};
    const auto check = [&](typename Simd<T>::Unary f, T at_minus, T at_plus) {
      std::vector<T> y(3);
      f(x.data(), y.data(), 3);
      CHECK(y[0] == at_minus);
      CHECK(y[1] == at_plus);
      CHECK(std::isnan(y[2]));
    };
    check(v.exp, T(0), inf);
    check(v.tanh, T(-1), T(1));
    check(v.erf, T(-1), T(1));
    check(v.sigmoid, T(0), T(1));
    check(v.relu, T(0), inf);
    check(v.negate, inf, -inf);
    std::vector<T> y(3);
    v.gelu(x.data(), y.data(), 3);
    CHECK(y[1] == inf);
    CHECK(std::isnan(y[2]));
    const std::vector<T> zero = {T(0)};
    v.log(zero.data(), y.data(), 1);
    CHECK(y[0] == -inf);
    const std::vector<T> with_nan = {1, 2, nan, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
    CHECK(std::isnan(v.max(with_nan.data(), 18)));
    CHECK(v.max(with_nan.data() + 3, 15) == T(17));
    CHECK(v.max(with_nan.data(), 0) == -inf);
  }
}

TEMPLATE_TEST_CASE("reductions agree with wide arithmetic and ignore alignment", "[core][runtime]", float, double) {
  using T = TestType;
  const double eps = sizeof(T) == 4 ? 6e-8 : 1.2e-16;
  for (const SimdTables* tables : levels()) {
    const Simd<T>& v = of<T>(*tables);
    for (std::size_t n : {0UL, 1UL, 3UL, 7UL, 8UL, 33UL, 65UL, 128UL, 1000UL, 1024UL, 5000UL}) {
      const std::vector<T> a = line<T>(-1, 3, n + 1), b = line<T>(2, -1, n + 1);
      const auto count = static_cast<std::int64_t>(n);
      Wide sum = 0, dot = 0, squares = 0, deviations = 0, size = 0;
      T largest = -std::numeric_limits<T>::infinity();
      for (std::size_t i = 0; i < n; ++i) {
        sum += a[i];
        dot += static_cast<Wide>(a[i]) * b[i];
        squares += static_cast<Wide>(a[i]) * a[i];
        deviations += (static_cast<Wide>(a[i]) - T(0.5)) * (static_cast<Wide>(a[i]) - T(0.5));
        size += 9;
        largest = std::max(largest, a[i]);
      }
      INFO(tables->name << " n " << n);
      const auto near = [&](double got, Wide expected, double unit) {
        CHECK(std::fabs(static_cast<double>(got - expected)) <= 12 * unit * static_cast<double>(size));
      };
      near(v.sum(a.data(), count), sum, eps);
      near(v.dot(a.data(), b.data(), count), dot, eps);
      near(v.sum_squares(a.data(), count), squares, eps);
      near(v.sum_deviations(a.data(), T(0.5), count), deviations, eps);
      near(v.sum_f64(a.data(), count), sum, 1.2e-16);
      near(v.dot_f64(a.data(), b.data(), count), dot, 1.2e-16);
      near(v.sum_squares_f64(a.data(), count), squares, 1.2e-16);
      CHECK(v.max(a.data(), count) == largest);
      std::vector<T> moved(n + 2);
      std::copy(a.begin(), a.end(), moved.begin() + 1);
      CHECK(v.sum(moved.data() + 1, count) == v.sum(a.data(), count));
      CHECK(v.dot_f64(moved.data() + 1, b.data(), count) == v.dot_f64(a.data(), b.data(), count));
    }
  }
}

TEMPLATE_TEST_CASE("softmax and layer norm rows follow their laws", "[core][runtime]", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 3e-6 : 1e-14;
  for (const SimdTables* tables : levels()) {
    const Simd<T>& v = of<T>(*tables);
    for (std::size_t n : {1UL, 5UL, 16UL, 65UL, 130UL}) {
      const auto count = static_cast<std::int64_t>(n);
      const std::vector<T> x = line<T>(-2, 2, n), d = line<T>(1, -1.5, n), w = line<T>(0.5, 2, n),
                           b = line<T>(-1, 1, n);
      std::vector<T> y(n);
      double total = 0, inner = 0;
      const T sum = v.exp_sum(x.data(), T(0.5), T(1), y.data(), count);
      for (std::size_t i = 0; i < n; ++i) {
        const double expected = std::exp(0.5 * static_cast<double>(x[i]) - 1);
        total += expected;
        CHECK(y[i] == Approx(expected).epsilon(tolerance));
      }
      CHECK(sum == Approx(total).epsilon(tolerance));
      for (std::size_t i = 0; i < n; ++i) inner += static_cast<double>(y[i] * d[i]);
      std::vector<T> d_x(n);
      v.softmax_grad(y.data(), d.data(), static_cast<T>(inner), T(0.5), d_x.data(), count);
      for (std::size_t i = 0; i < n; ++i) {
        const double expected = 0.5 * static_cast<double>(y[i]) * (static_cast<double>(d[i]) - inner);
        CHECK(d_x[i] == Approx(expected).margin(tolerance * static_cast<double>(n)));
      }

      double mean = 0, mean_g = 0, mean_gh = 0;
      for (std::size_t i = 0; i < n; ++i) mean += static_cast<double>(x[i]) / static_cast<double>(n);
      const T m = static_cast<T>(mean), r = T(0.8);
      const auto h = [&](std::size_t i) { return static_cast<double>((x[i] - m) * r); };
      for (std::size_t i = 0; i < n; ++i) {
        mean_g += static_cast<double>(d[i] * w[i]) / static_cast<double>(n);
        mean_gh += static_cast<double>(d[i] * w[i]) * h(i) / static_cast<double>(n);
      }
      v.normalize(x.data(), m, r, w.data(), b.data(), y.data(), count);
      v.normalize_grad(x.data(), d.data(), m, r, w.data(), d_x.data(), count);
      std::vector<T> d_w(n, T(1)), d_b(n, T(2));
      v.normalize_param_grad(x.data(), d.data(), m, r, d_w.data(), d_b.data(), count);
      for (std::size_t i = 0; i < n; ++i) {
        const double g = static_cast<double>(d[i] * w[i]), wide_d = static_cast<double>(d[i]);
        CHECK(y[i] == Approx(h(i) * static_cast<double>(w[i]) + static_cast<double>(b[i])).margin(tolerance));
        CHECK(d_x[i] == Approx(0.8 * (g - mean_g - h(i) * mean_gh)).margin(tolerance));
        CHECK(d_w[i] == Approx(1 + wide_d * h(i)).margin(tolerance));
        CHECK(d_b[i] == Approx(2 + wide_d).margin(tolerance));
      }
      std::vector<T> plain(n), ones(n, T(1)), zeros(n, T(0)), explicit_ones(n);
      v.normalize(x.data(), m, r, nullptr, nullptr, plain.data(), count);
      v.normalize(x.data(), m, r, ones.data(), zeros.data(), explicit_ones.data(), count);
      for (std::size_t i = 0; i < n; ++i) CHECK(plain[i] == explicit_ones[i]);
    }
  }
}

TEST_CASE("two-byte storage rounds as dtype.h does, for every pattern", "[core][runtime]") {
  for (const SimdTables* tables : levels()) {
    INFO(tables->name);
    std::vector<std::uint16_t> patterns(65536), back(65536);
    std::vector<float> wide(65536);
    for (std::size_t i = 0; i < 65536; ++i) patterns[i] = static_cast<std::uint16_t>(i);
    tables->bits.bf16_to_f32(patterns.data(), wide.data(), 65536);
    for (std::size_t i = 0; i < 65536; ++i) {
      bfloat16 b;
      b.bits = patterns[i];
      REQUIRE(std::bit_cast<std::uint32_t>(wide[i]) == std::bit_cast<std::uint32_t>(static_cast<float>(b)));
    }
    tables->bits.f16_to_f32(patterns.data(), wide.data(), 65536);
    for (std::size_t i = 0; i < 65536; ++i) {
      float16 h;
      h.bits = patterns[i];
      const float expected = static_cast<float>(h);
      REQUIRE((std::isnan(expected) ? std::isnan(wide[i]) : wide[i] == expected));
    }
    std::vector<float> values(65537);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = std::bit_cast<float>(static_cast<std::uint32_t>(i * 65521U + 0x4321U * (i % 3)));
    }
    const auto n = static_cast<std::int64_t>(65533);
    tables->bits.f32_to_bf16(values.data() + 1, back.data(), n);
    for (std::size_t i = 0; i < 65533; ++i) REQUIRE(back[i] == bfloat16(values[i + 1]).bits);
    tables->bits.f32_to_f16(values.data() + 1, back.data(), n);
    for (std::size_t i = 0; i < 65533; ++i) {
      if (!std::isnan(values[i + 1])) REQUIRE(back[i] == float16(values[i + 1]).bits);
    }
  }
}
