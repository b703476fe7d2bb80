// Helpers of kernels that work row by row: rows of any floating type computed in f32 or f64, and tiles that the shape
// alone decides. Not in <weft/weft.h>.
#pragma once

#include <weft/graph/shape.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/wide.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace weft {

/// y = addend + x, where x (wide, overwritten) is rounded to T before it is added: the bits of a node that adds a
/// stored x. y may alias addend but not x.
template <class T>
void add_rounded(const T* addend, Wide<T>* x, T* y, std::int64_t n) {
  if constexpr (!is_narrow<T>) {
    simd<T>().add(addend, x, y, n);
  } else {
    constexpr std::int64_t block = 512;
    float wide[block];
    T rounded[block];
    for (std::int64_t i = 0; i < n; i += block) {
      const std::int64_t count = std::min(block, n - i);
      store(x + i, rounded, count);
      simd<float>().add(widened(addend + i, wide, count), widened(rounded, x + i, count), wide, count);
      store(wide, y + i, count);
    }
  }
}

/// Product of the extents of axes [from, to).
inline std::int64_t extent_product(const Shape& shape, int from, int to) {
  std::int64_t product = 1;
  for (int axis = from; axis < to; ++axis) product *= shape.extent(axis);
  return product;
}

/// Runs body(begin, end, slot) in parallel on tiles of about `grain` elements, which cover `count` items of `size`
/// elements.
template <class F>
void for_row_tiles(std::int64_t count, std::int64_t size, F&& body, std::int64_t grain = 8192) {
  const std::int64_t step = std::max<std::int64_t>(1, grain / std::max<std::int64_t>(1, size));
  parallel_for((count + step - 1) / step,
               [&](std::int64_t tile, int slot) { body(tile * step, std::min(count, (tile + 1) * step), slot); });
}

/// Sum of exp(x - shift) over n elements: blocks of 1024 that stay in L1, their sums in double.
template <class W>
double sum_exp(const W* x, W shift, std::int64_t n) {
  constexpr std::int64_t block = 1024;
  W buffer[block];
  double total = 0;
  for (std::int64_t i = 0; i < n; i += block)
    total += static_cast<double>(simd<W>().exp_sum(x + i, W(1), shift, buffer, std::min(block, n - i)));
  return total;
}

/// 1 / sqrt(sum_i (x_i - mean)^2 / n + eps). Squares that overflow (from 1e19 on in f32) are summed over the largest of
/// them; what is infinite or NaN itself stays so.
template <class W>
W reciprocal_deviation(const W* x, W mean, std::int64_t n, W eps) {
  const W sum = simd<W>().sum_deviations(x, mean, n);
  if (!std::isinf(sum)) return 1 / std::sqrt(sum / static_cast<W>(n) + eps);
  W largest = 0;
  for (std::int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(x[i] - mean));
  if (std::isinf(largest)) return 0;
  double total = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto share = static_cast<double>((x[i] - mean) / largest);
    total += share * share;
  }
  return static_cast<W>(1 / std::sqrt(total / static_cast<double>(n))) / largest;  // beside which eps is nothing
}

}  // namespace weft
