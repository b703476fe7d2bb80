#include <weft/runtime/simd/streams.h>

#include <support/catch.h>

#include <cmath>
#include <vector>

using namespace weft;

namespace {

template <class T>
const SimdStreams<T>& of(const StreamTables& tables) {
  if constexpr (sizeof(T) == 4) return tables.f32;
  else return tables.f64;
}

std::vector<const StreamTables*> levels() {
  std::vector<const StreamTables*> result;
  for (SimdLevel level : {SimdLevel::baseline, SimdLevel::avx2, SimdLevel::avx512})
    if (const StreamTables* tables = stream_tables(level)) result.push_back(tables);
  return result;
}

template <class T>
std::vector<T> some(std::int64_t count, double scale, double shift) {
  std::vector<T> x;
  for (std::int64_t i = 0; i < count; ++i)
    x.push_back(static_cast<T>(scale * std::sin(1.7 * static_cast<double>(i)) + shift));
  return x;
}

}  // namespace

TEMPLATE_TEST_CASE("adamw rounds each operation, at every level, in tails and in place", "[core][runtime]", float,
                   double) {
  const AdamwStep<TestType> s{.factor = TestType(0.7),
                              .beta1 = TestType(0.9),
                              .rest1 = TestType(0.1),
                              .beta2 = TestType(0.95),
                              .rest2 = TestType(0.05),
                              .decay = TestType(0.999),
                              .size = TestType(0.01),
                              .root = TestType(0.3),
                              .eps = TestType(1e-8)};
  for (const std::int64_t n : {0, 1, 3, 8, 21, 64}) {
    const auto p = some<TestType>(n, 1, 0), g = some<TestType>(n, 3, 0.1), m = some<TestType>(n, 0.2, 0),
               v = some<TestType>(n, 0.4, 0.5);
    for (const StreamTables* tables : levels()) {
      auto p_out = p, m_out = m, v_out = v;
      of<TestType>(*tables).adamw(s, p_out.data(), g.data(), m_out.data(), v_out.data(), p_out.data(), m_out.data(),
                                  v_out.data(), n);
      for (std::size_t i = 0; i < p.size(); ++i) {
        const TestType scaled = g[i] * s.factor;
        const TestType first = s.beta1 * m[i] + s.rest1 * scaled, second = s.beta2 * v[i] + (s.rest2 * scaled) * scaled;
        CHECK(m_out[i] == first);
        CHECK(v_out[i] == second);
        CHECK(p_out[i] == p[i] * s.decay - s.size * (first / (std::sqrt(second) / s.root + s.eps)));
      }
    }
  }
}

TEMPLATE_TEST_CASE("rows are added in their order, at every level and count of rows and columns", "[core][runtime]",
                   float, double) {
  for (const std::int64_t rows : {0, 1, 4, 6, 9})
    for (const std::int64_t n : {1, 3, 8, 21}) {
      const std::int64_t stride = n + 2;
      const auto x = some<TestType>(rows * stride, 1e3, 0.1);
      for (const StreamTables* tables : levels()) {
        std::vector<double> y(static_cast<std::size_t>(n), 0.25), expected = y;
        of<TestType>(*tables).add_rows(x.data(), stride, rows, y.data(), n);
        for (std::int64_t r = 0; r < rows; ++r)
          for (std::int64_t c = 0; c < n; ++c)
            expected[static_cast<std::size_t>(c)] += static_cast<double>(x[static_cast<std::size_t>(r * stride + c)]);
        CHECK(y == expected);
      }
    }
}
