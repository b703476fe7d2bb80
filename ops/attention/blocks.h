// What the forward and backward tasks of attention share for one tile: packed rows, the keys that each query sees, and
// products that skip pairs that nobody sees (runtime/simd/tile.h computes them). Not in <weft/weft.h>.
#pragma once

#include <weft/ops/attention/tile.h>
#include <weft/runtime/allocate.h>
#include <weft/runtime/simd/tile.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace weft {

// Cuts a slot's workspace into arrays; without a base it counts bytes.
class Carver {
 public:
  explicit Carver(std::byte* base) : base_(base) {}
  template <class A>
  A* take(std::int64_t count) {
    std::byte* at = base_ == nullptr ? nullptr : base_ + bytes_;
    bytes_ += aligned(static_cast<std::size_t>(count) * sizeof(A));
    return reinterpret_cast<A*>(at);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* base_;
  std::size_t bytes_ = 0;
};

inline std::int64_t rounded_up(std::int64_t n, std::int64_t step) { return (n + step - 1) / step * step; }

/// Elements from row to row with room for whole panels: an odd number of cache lines, so that neighbouring rows use
/// different sets of the cache.
template <class A>
std::int64_t padded(std::int64_t width) {
  constexpr std::int64_t line = 64 / sizeof(A);
  const std::int64_t lines = rounded_up(width, std::max(line, tile_kernels<A>().panel)) / line;
  return (lines | 1) * line;
}

/// Rows in memory, `stride` elements apart. With a padded stride they also serve as right operand of a product.
template <class A>
struct Rows {
  A* data;
  std::int64_t stride;
  A* operator[](std::int64_t row) const { return data + row * stride; }
};

/// y = the rows of x, in the type they are computed in, with zeros up to whole panels.
template <class T>
void pack_rows(const T* x, std::int64_t stride, std::int64_t rows, std::int64_t width, const Rows<Wide<T>>& y) {
  const auto& tile = tile_kernels<Wide<T>>();
  if constexpr (!is_narrow<T>) {
    tile.pack(x, stride, rows, width, y.data, y.stride);
  } else {
    for (std::int64_t r = 0; r < rows; ++r) {
      widened(x + r * stride, y[r], width);
      std::fill(y[r] + width, y[r] + rounded_up(width, tile.panel), Wide<T>(0));
    }
  }
}

/// y = panels of the transposed rows; `buffer` has room for rows x width elements if T is converted.
template <class T>
void pack_panels(const T* x, std::int64_t stride, std::int64_t rows, std::int64_t width, Wide<T>* y,
                 [[maybe_unused]] Wide<T>* buffer) {
  const auto& tile = tile_kernels<Wide<T>>();
  if constexpr (!is_narrow<T>) {
    tile.pack_transposed(x, stride, rows, width, y);
  } else {
    for (std::int64_t r = 0; r < rows; ++r) widened(x + r * stride, buffer + r * width, width);
    tile.pack_transposed(buffer, width, rows, width, y);
  }
}

/// Row r of a tile sees the columns [first[r], last[r]); both grow with r. Columns count from key j.
struct TileRange {
  std::int32_t *first, *last;
  std::int64_t rows = 0, columns = 0;
  bool full = false;  ///< each row sees all columns

  TileRange(Carver& carver, std::int64_t most)
      : first(carver.take<std::int32_t>(most)), last(carver.take<std::int32_t>(most)) {}

  void set(const KeyLimits& limits, std::int64_t i, std::int64_t row_count, std::int64_t j, std::int64_t column_count) {
    rows = row_count;
    columns = column_count;
    full = limits.keys(i).hi >= j + columns && limits.keys(i + rows - 1).lo <= j;
    for (std::int64_t r = 0; r < rows; ++r) {
      const KeyRange seen = limits.keys(i + r);
      const std::int64_t lo = std::clamp<std::int64_t>(seen.lo - j, 0, columns);
      first[r] = static_cast<std::int32_t>(lo);
      last[r] = static_cast<std::int32_t>(std::clamp<std::int64_t>(seen.hi - j, lo, columns));
    }
  }

  /// body(r, rows, begin, end): strips of rows and the columns that any of theirs sees.
  template <class F>
  void row_strips(std::int64_t strip, F&& body) const {
    if (full) return body(std::int64_t{0}, rows, std::int64_t{0}, columns);
    for (std::int64_t r = 0; r < rows; r += strip) {
      const std::int64_t count = std::min(strip, rows - r);
      body(r, count, std::int64_t{first[r]}, std::int64_t{last[r + count - 1]});
    }
  }
  /// body(c, columns, begin, end): strips of columns and the rows that see any of theirs.
  template <class F>
  void column_strips(std::int64_t strip, F&& body) const {
    if (full) return body(std::int64_t{0}, columns, std::int64_t{0}, rows);
    std::int64_t begin = 0, end = 0;
    for (std::int64_t c = 0; c < columns; c += strip) {
      const std::int64_t count = std::min(strip, columns - c);
      while (begin < rows && last[begin] <= c) ++begin;
      while (end < rows && first[end] < c + count) ++end;
      body(c, count, std::min(begin, end), end);
    }
  }
};

/// Products of a tile; x is its (rows, columns) matrix of scores, weights or their gradients.
template <class A>
struct TileProducts {
  const TileRange& range;
  const TileKernels<A>& tile = tile_kernels<A>();

  /// x = a b^T where seen (and up to whole panels); b in panels, `width` columns of a.
  void scores(const Rows<A>& a, const A* b, std::int64_t width, const Rows<A>& x) const {
    range.row_strips(tile.panel_rows, [&](std::int64_t r, std::int64_t rows, std::int64_t begin, std::int64_t end) {
      begin = begin / tile.panel * tile.panel;
      if (begin >= end) return;
      tile.product({.m = rows,
                    .n = rounded_up(end - begin, tile.panel),
                    .k = width,
                    .a = a[r],
                    .lda = a.stride,
                    .b = b + begin * width,
                    .ldb = tile.panel,
                    .panel_stride = tile.panel * width,
                    .c = x[r] + begin,
                    .ldc = x.stride,
                    .add = false});
    });
  }
  /// c (rows, width) = or += x b
  void from_columns(const Rows<A>& x, const Rows<A>& b, std::int64_t width, const Rows<A>& c, bool add) const {
    range.row_strips(tile.panel_rows, [&](std::int64_t r, std::int64_t rows, std::int64_t begin, std::int64_t end) {
      tile.product({.m = rows,
                    .n = width,
                    .k = end - begin,
                    .a = x[r] + begin,
                    .lda = x.stride,
                    .b = b[begin],
                    .ldb = b.stride,
                    .panel_stride = tile.panel,
                    .c = c[r],
                    .ldc = c.stride,
                    .add = add});
    });
  }
  /// c (columns, width) = or += x^T b
  void from_rows(const Rows<A>& x, const Rows<A>& b, std::int64_t width, const Rows<A>& c, bool add) const {
    range.column_strips(tile.panel_rows,
                        [&](std::int64_t j, std::int64_t columns, std::int64_t begin, std::int64_t end) {
                          tile.product_transposed({.m = columns,
                                                   .n = width,
                                                   .k = end - begin,
                                                   .a = x[begin] + j,
                                                   .lda = x.stride,
                                                   .b = b[begin],
                                                   .ldb = b.stride,
                                                   .panel_stride = tile.panel,
                                                   .c = c[j],
                                                   .ldc = c.stride,
                                                   .add = add});
                        });
  }
};

}  // namespace weft
