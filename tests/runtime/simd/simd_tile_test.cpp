#include <weft/runtime/simd/simd.h>
#include <weft/runtime/simd/tile.h>

#include <support/catch.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using namespace weft;

namespace {

template <class T>
std::vector<const TileKernels<T>*> levels() {
  std::vector<const TileKernels<T>*> result;
  for (const SimdLevel level : {SimdLevel::baseline, SimdLevel::avx2, SimdLevel::avx512})
    if (const TileTables* tables = tile_tables(level)) {
      if constexpr (sizeof(T) == 4) result.push_back(&tables->f32);
      else result.push_back(&tables->f64);
    }
  return result;
}

template <class T>
std::vector<T> numbers(std::size_t count, std::uint32_t state) {
  std::vector<T> x(count);
  for (T& value : x) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<T>(state >> 8) / static_cast<T>(1 << 23) - T(1);
  }
  return x;
}

constexpr std::int64_t room = 64;  // more than a panel

template <class T>
void check_product(const TileKernels<T>& tile, bool transposed, std::int64_t m, std::int64_t n, std::int64_t k,
                   bool panels, bool add) {
  const std::int64_t lda = (transposed ? m : k) + 3, ldc = n + 5;
  const auto a = numbers<T>(static_cast<std::size_t>((m + k) * (lda + room)), 1);
  const auto b = numbers<T>(static_cast<std::size_t>((n + 1) * (k + 1)), 2);  // b[l * n + j]
  const std::int64_t whole = (n + tile.panel - 1) / tile.panel * tile.panel, ldb = panels ? tile.panel : whole + 3;
  std::vector<T> packed(static_cast<std::size_t>((k + 1) * (whole + 3) + room), T(7)), transpose_b(b.size());
  if (panels) {
    for (std::int64_t l = 0; l < k; ++l)
      for (std::int64_t j = 0; j < n; ++j)
        transpose_b[static_cast<std::size_t>(j * k + l)] = b[static_cast<std::size_t>(l * n + j)];
    tile.pack_transposed(transpose_b.data(), k, n, k, packed.data());
  } else {
    tile.pack(b.data(), n, k, n, packed.data(), ldb);
  }
  std::vector<T> c(static_cast<std::size_t>(m * ldc), T(2));
  (transposed ? tile.product_transposed : tile.product)(
      {m, n, k, a.data(), lda, packed.data(), ldb, panels ? tile.panel * k : tile.panel, c.data(), ldc, add});
  const double bound = 4 * static_cast<double>(std::numeric_limits<T>::epsilon()) * static_cast<double>(k + 1);
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < ldc; ++j) {
      double expected = j < n && !add ? 0 : 2;
      for (std::int64_t l = 0; j < n && l < k; ++l)
        expected += static_cast<double>(a[static_cast<std::size_t>(transposed ? l * lda + i : i * lda + l)]) *
                    static_cast<double>(b[static_cast<std::size_t>(l * n + j)]);
      if (std::abs(static_cast<double>(c[static_cast<std::size_t>(i * ldc + j)]) - expected) > bound) ++wrong;
    }
  INFO(m << " x " << n << " x " << k << (transposed ? ", transposed" : "") << (panels ? ", in panels" : ""));
  CHECK(wrong == 0);
}

template <class T>
void check_products() {
  for (const TileKernels<T>* tile : levels<T>())
    for (const bool transposed : {false, true})
      for (const bool panels : {false, true})
        for (const std::int64_t m : {1, 5, 6, 13, 24, 29})
          for (const std::int64_t n : {1, 7, 16, 33, 64})
            for (const std::int64_t k : {0, 1, 9, 40})
              check_product(*tile, transposed, m, n, k, panels, (m + n + k) % 2 == 0);
}

}  // namespace

TEST_CASE("products of tiles equal the plain sums at every level, and write nothing beside c", "[core][runtime]") {
  check_products<float>();
  check_products<double>();
}

namespace {

struct Rows {
  std::vector<std::int32_t> first, last;
};

// Some rows see all, some a part, some nothing.
Rows seen(std::int64_t rows, std::int64_t columns) {
  Rows result;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto lo = static_cast<std::int32_t>(r % 5 == 4 ? 0 : r % (columns + 1)),
               all = static_cast<std::int32_t>(columns);
    result.first.push_back(lo);
    result.last.push_back(r % 7 == 3 ? lo : std::max(lo, static_cast<std::int32_t>(all - r % 4)));
  }
  return result;
}

template <class T>
void check_softmax(const TileKernels<T>& tile, std::int64_t rows, std::int64_t columns, double bound) {
  const std::int64_t ld = columns + room;
  const Rows range = seen(rows, columns);
  const auto size = static_cast<std::size_t>(rows * ld);
  auto x = numbers<T>(size, 3), d_p = numbers<T>(size, 4);
  for (T& value : x) value *= 30;
  const auto before = x, d_before = d_p;
  const auto state_size = static_cast<std::size_t>(rows + room);
  std::vector<T> top(state_size, T(1)), sum(state_size, T(3)), shrink(state_size);
  top[0] = -std::numeric_limits<T>::infinity();
  sum[0] = 0;
  const T factor = T(0.5);
  const TileRows<T> t{x.data(), ld, rows, columns, range.first.data(), range.last.data(), factor};
  tile.softmax(t, {top.data(), sum.data(), shrink.data()});
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto row = static_cast<std::size_t>(r);
    double highest = r == 0 ? -INFINITY : 1, total = 0;
    const double old = highest;
    const auto at = [&](std::int64_t c) { return static_cast<std::size_t>(r * ld + c); };
    for (std::int64_t c = range.first[row]; c < range.last[row]; ++c)
      highest = std::max(highest, static_cast<double>(factor) * static_cast<double>(before[at(c)]));
    for (std::int64_t c = 0; c < columns; ++c) {
      const bool in = c >= range.first[row] && c < range.last[row];
      const double e = in ? std::exp(static_cast<double>(factor) * static_cast<double>(before[at(c)]) - highest) : 0;
      if (std::abs(static_cast<double>(x[at(c)]) - e) > bound) FAIL("row " << r << ", column " << c);
      total += e;
    }
    CHECK(static_cast<double>(top[row]) == highest);
    const double kept = old == highest ? 1 : std::exp(old - highest);
    CHECK(std::abs(static_cast<double>(shrink[row]) - kept) <= bound);
    CHECK(std::abs(static_cast<double>(sum[row]) - ((r == 0 ? 0 : 3) * kept + total)) <= 20 * bound);
  }

  x = before;
  const std::vector<T> shift(state_size, T(14)), share(state_size, static_cast<T>(std::exp(-2.0))),
      inner(state_size, T(0.25));
  tile.softmax_grad(t, {d_p.data(), shift.data(), share.data(), inner.data(), T(2)});
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) {
      const auto at = static_cast<std::size_t>(r * ld + c), row = static_cast<std::size_t>(r);
      const bool in = c >= range.first[row] && c < range.last[row];
      const double p = in ? std::exp(0.5 * static_cast<double>(before[at]) - 16) : 0;
      if (std::abs(static_cast<double>(x[at]) - p) > bound) FAIL("p: row " << r << ", column " << c);
      if (std::abs(static_cast<double>(d_p[at]) - 2 * p * (static_cast<double>(d_before[at]) - 0.25)) > 4 * bound)
        FAIL("d_s: row " << r << ", column " << c);
    }
}

}  // namespace

TEST_CASE("a tile's softmax and its gradient equal the formulas at every level", "[core][runtime]") {
  for (const std::int64_t rows : {1, 6, 65, 130})
    for (const std::int64_t columns : {1, 8, 17, 100}) {
      for (const auto* tile : levels<float>()) check_softmax(*tile, rows, columns, 5e-7);
      for (const auto* tile : levels<double>()) check_softmax(*tile, rows, columns, 1e-14);
    }
}

TEST_CASE("scores of minus infinity and NaN reach the weights", "[core][runtime]") {
  for (const auto* tile : levels<float>()) {
    const float infinity = std::numeric_limits<float>::infinity();
    std::vector<float> x(2 * room, 0.0f), top(room, -infinity), sum(room, 0.0f), shrink(room, 0.0f);
    x[1] = -infinity;
    x[room] = std::nanf("");
    x[room + 1] = 5;
    const std::int32_t first[] = {0, 0}, last[] = {2, 2};
    tile->softmax({x.data(), room, 2, 2, first, last, 1.0f}, {top.data(), sum.data(), shrink.data()});
    CHECK(x[0] == 1);
    CHECK(x[1] == 0);
    CHECK(sum[0] == 1);
    CHECK(std::isnan(sum[1]));
  }
}

TEST_CASE("dot products of rows equal the plain sums at every level", "[core][runtime]") {
  for (const auto* tile : levels<float>())
    for (const std::int64_t columns : {1, 8, 37, 64}) {
      const auto a = numbers<float>(static_cast<std::size_t>(5 * columns), 5), b = numbers<float>(a.size(), 6);
      std::vector<float> y(5);
      tile->dots(a.data(), columns, b.data(), columns, 5, columns, y.data());
      for (std::int64_t r = 0; r < 5; ++r) {
        double expected = 0;
        for (std::int64_t c = r * columns; c < (r + 1) * columns; ++c)
          expected +=
              static_cast<double>(a[static_cast<std::size_t>(c)]) * static_cast<double>(b[static_cast<std::size_t>(c)]);
        CHECK(std::abs(static_cast<double>(y[static_cast<std::size_t>(r)]) - expected) < 1e-5);
      }
    }
}
