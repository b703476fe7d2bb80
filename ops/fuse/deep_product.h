// C = A B where A has few rows and the sums run over very many terms (d_x of a projection to a vocabulary), for
// kernels.
#pragma once

#include <weft/ops/kit/rows.h>
#include <weft/runtime/allocate.h>
#include <weft/runtime/gemm.h>
#include <weft/runtime/wide.h>

#include <algorithm>
#include <span>

namespace weft {

/// A [m, k], B [k, n], C [m, n], packed. gemm() cuts only C into tiles: with C of 128 x 768 they are narrow, and each
/// reads its part of B from memory. Here k is cut too, into parts with sums of their own that are then added in order.
/// The shape alone decides the cut. Measured at 128 x 768 x 50257, f32, one core: 80 GFLOP/s, by gemm 70.
struct DeepProduct {
  static constexpr std::int64_t depth = 1024;  ///< terms of k at a time: their rows of B stay in L2
  static constexpr std::int64_t tasks = 16;    ///< parts times tiles of columns, approximately

  std::int64_t m, n, k, columns, across, parts, part;

  DeepProduct(std::int64_t m, std::int64_t n, std::int64_t k) : m(m), n(n), k(k) {
    across = std::max<std::int64_t>(1, (n + 767) / 768);
    columns = std::max<std::int64_t>(16, ((n + across - 1) / across + 15) / 16 * 16);
    across = std::max<std::int64_t>(1, (n + columns - 1) / columns);
    parts = std::clamp<std::int64_t>(tasks / across, 1, std::max<std::int64_t>(1, k / (2 * depth)));
    part = (k + parts - 1) / parts;
  }
  /// With 64 rows oneDNN does not copy B and is fastest; where B must be converted, more rows share the conversion.
  static std::int64_t rows(DType input) { return input == f32 || input == f64 ? 64 : 128; }
  static DType sums(DType input) { return wide(input); }
  Gemm tile(DType input) const {
    return {.m = std::min(m, rows(input)), .n = std::min(n, columns), .k = std::min(part, depth)};
  }
  std::size_t sum_bytes(DType input) const {
    return aligned(static_cast<std::size_t>(parts * m * n) * size_of(sums(input)));
  }
  std::size_t slot_bytes(DType input) const { return gemm_tile_workspace(tile(input), input, sums(input)); }
  std::size_t workspace(DType input, int threads) const {
    return sum_bytes(input) + slot_bytes(input) * static_cast<std::size_t>(threads);
  }
};

template <class T>
void deep_product(const DeepProduct& p, const T* a, const T* b, T* c, std::span<std::byte> workspace) {
  using W = Wide<T>;
  constexpr DType type = dtype_of<T>;
  auto* sums = reinterpret_cast<W*>(workspace.data());
  const std::size_t slot_bytes = p.slot_bytes(type);
  parallel_for(p.parts * p.across, [&](std::int64_t task, int slot) {
    const std::int64_t which = task / p.across, column = task % p.across * p.columns;
    const std::int64_t first = which * p.part, end = std::min(p.k, first + p.part);
    W* sum = sums + which * p.m * p.n + column;
    const auto space = workspace.subspan(p.sum_bytes(type) + slot_bytes * static_cast<std::size_t>(slot), slot_bytes);
    for (std::int64_t at = first; at < end || at == first; at += DeepProduct::depth)
      for (std::int64_t row = 0; row < p.m; row += DeepProduct::rows(type)) {
        const Gemm g{.m = std::min(DeepProduct::rows(type), p.m - row),
                     .n = std::min(p.columns, p.n - column),
                     .k = std::clamp<std::int64_t>(end - at, 0, DeepProduct::depth),
                     .lda = p.k,
                     .ldb = p.n,
                     .ldc = p.n,
                     .beta = at > first ? 1.0 : 0.0};
        gemm_tile(g, a + row * p.k + at, b + at * p.n + column, sum + row * p.n, space);
      }
  });
  for_row_tiles(p.m, p.n, [&](std::int64_t begin, std::int64_t end, int) {
    constexpr std::int64_t block = 1024;
    W buffer[block];
    for (std::int64_t from = begin * p.n; from < end * p.n; from += block) {
      const std::int64_t count = std::min(block, end * p.n - from);
      std::copy_n(sums + from, count, buffer);
      for (std::int64_t i = 1; i < p.parts; ++i) simd<W>().add(buffer, sums + i * p.m * p.n + from, buffer, count);
      if constexpr (is_narrow<T>) store(buffer, c + from, count);
      else std::copy_n(buffer, count, c + from);
    }
  });
}

}  // namespace weft
