// The kernels of reductions: axes are merged to [outer][reduced][inner], work is cut by shape, and pieces are combined
// in a fixed order. Private to the reductions.
#pragma once

#include <weft/ops/kit/rows.h>
#include <weft/ops/shape/strided.h>
#include <weft/runtime/allocate.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/simd/simd.h>
#include <weft/runtime/simd/streams.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

namespace weft {

/// Reduced axes of a node, sorted and counted from the front; attribute "axes", none: all.
std::vector<int> reduced_axes(const OpView& view);

/// The shape of the work. If the reduced axes are not adjacent, the operand is first copied so that they are.
struct ReduceShape {
  std::int64_t outer = 1, reduced = 1, inner = 1;
  std::vector<std::int64_t> gathered_extents, gathered_strides;  ///< empty: no copy is needed
  explicit ReduceShape(const OpView& view);
};

inline constexpr std::int64_t reduce_rows = 32;      ///< rows of a piece when columns are added
inline constexpr std::int64_t reduce_piece = 32768;  ///< elements of a piece of a long row

template <class T>
using Accumulator =
    std::conditional_t<std::is_integral_v<T>, std::conditional_t<std::is_same_v<T, bool>, bool, std::int64_t>, double>;

/// Pieces into which the reduced extent is cut.
inline std::int64_t reduce_pieces(const ReduceShape& s) {
  return std::max<std::int64_t>(
      1, s.inner == 1 ? (s.reduced + reduce_piece - 1) / reduce_piece : (s.reduced + reduce_rows - 1) / reduce_rows);
}

template <class R, class T>
concept adds_rows = requires(const T* x, Accumulator<T>* y) { R::add_rows(x, std::int64_t{}, y, std::int64_t{}); };

/// R: `static Acc empty()`, `static Acc combine(Acc, Acc)`, `static Acc map(T)`, `static T finish(Acc, count)`, and
/// optionally `static Acc row(const T*, n)` for contiguous elements and `static void add_rows(const T*, rows, Acc*,
/// n)`, combine in Acc for each of n columns, row by row.
template <class R, class T>
BoundKernel bind_reduction(const OpView& view) {
  using Acc = Accumulator<T>;
  const ReduceShape shape(view);
  const std::int64_t pieces = reduce_pieces(shape);
  return [shape, pieces, count = view.type(0).count()](KernelContext& ctx) {
    const T* x = ctx.in<T>(0);
    T* y = ctx.out<T>(0);
    auto* partial = reinterpret_cast<Acc*>(ctx.workspace());
    if (!shape.gathered_extents.empty()) {
      auto* gathered =
          ctx.workspace() + aligned(static_cast<std::size_t>(pieces * shape.outer * shape.inner) * sizeof(Acc));
      Strided(shape.gathered_extents, shape.gathered_strides)
          .gather(gathered, reinterpret_cast<const std::byte*>(x), sizeof(T));
      x = reinterpret_cast<const T*>(gathered);
    }
    const std::int64_t n = shape.reduced, inner = shape.inner;
    if (shape.outer * inner == 0) return;
    if (inner == 1) {
      // Rows: several short ones a tile, or several pieces of a long one.
      const std::int64_t rows_in_tile = pieces > 1 ? 1 : std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, n));
      const std::int64_t rows = shape.outer * pieces;
      parallel_for((rows + rows_in_tile - 1) / rows_in_tile, [&](std::int64_t tile, int) {
        for (std::int64_t r = tile * rows_in_tile; r < std::min(rows, (tile + 1) * rows_in_tile); ++r) {
          const std::int64_t begin = r % pieces * reduce_piece;
          const std::int64_t end = pieces > 1 ? std::min(n, begin + reduce_piece) : n;
          partial[r] = R::row(x + r / pieces * n + begin, end - begin);
        }
      });
    } else {
      // Columns: each piece adds its rows into one row of partial results.
      parallel_for(shape.outer * pieces, [&](std::int64_t tile, int) {
        const std::int64_t begin = tile % pieces * reduce_rows, end = std::min(n, begin + reduce_rows);
        const T* from = x + (tile / pieces * n + begin) * inner;
        Acc* to = partial + tile * inner;
        std::fill(to, to + inner, R::empty());
        if constexpr (adds_rows<R, T>) {
          R::add_rows(from, end - begin, to, inner);
        } else {
          for (std::int64_t r = begin; r < end; ++r, from += inner)
            for (std::int64_t c = 0; c < inner; ++c) to[c] = R::combine(to[c], R::map(from[c]));
        }
      });
    }
    if constexpr (adds_rows<R, T>) {
      // The pieces' rows in the same way, a strip of columns at a time.
      constexpr std::int64_t strip = 512;
      const std::int64_t strips = (inner + strip - 1) / strip;
      if (inner > 1) {
        parallel_for(shape.outer * strips, [&](std::int64_t tile, int) {
          const std::int64_t begin = tile % strips * strip, width = std::min(strip, inner - begin);
          Acc* total = partial + tile / strips * pieces * inner + begin;
          simd_streams<double>().add_rows(total + inner, inner, pieces - 1, total, width);
          T* to = y + tile / strips * inner + begin;
          for (std::int64_t c = 0; c < width; ++c) to[c] = R::finish(total[c], n);
        });
        return;
      }
    }
    const std::int64_t per = inner == 0 ? 0 : n;
    parallel_for((shape.outer * inner + 4095) / 4096, [&](std::int64_t tile, int) {
      for (std::int64_t i = tile * 4096; i < std::min(shape.outer * inner, (tile + 1) * 4096); ++i) {
        const Acc* from = partial + i / inner * pieces * inner + i % inner;
        Acc total = from[0];
        for (std::int64_t p = 1; p < pieces; ++p) total = R::combine(total, from[p * inner]);
        y[i] = R::finish(total, per);
      }
    });
  };
}

template <class T>
std::size_t reduction_workspace(const OpView& view, int) {
  const ReduceShape shape(view);
  const auto partials =
      static_cast<std::size_t>(reduce_pieces(shape) * shape.outer * shape.inner) * sizeof(Accumulator<T>);
  return aligned(partials) + (shape.gathered_extents.empty() ? 0 : view.type(0).bytes());
}

template <template <class> class R, class... T>
std::vector<Kernel> reduction_kernels() {
  return {Kernel{.dtype = dtype_of<T>, .bind = bind_reduction<R<T>, T>, .workspace = reduction_workspace<T>}...};
}

// --- what is reduced ---

template <class T>
struct Reducer {
  using Acc = Accumulator<T>;
  static Acc map(T x) {
    if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>)
      return static_cast<double>(static_cast<float>(x));
    else return static_cast<Acc>(x);
  }
  static T finish(Acc total, std::int64_t) {
    if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>) return T(static_cast<float>(total));
    else return static_cast<T>(total);
  }
};

// Folds a contiguous row in eight lanes that are then combined as a tree.
template <class R, class T>
typename R::Acc fold_row(const T* x, std::int64_t n) {
  using Acc = typename R::Acc;
  Acc lanes[8];
  for (Acc& lane : lanes) lane = R::empty();
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::int64_t k = 0; k < 8; ++k) lanes[k] = R::combine(lanes[k], R::map(x[i + k]));
  for (std::int64_t k = 0; i + k < n; ++k) lanes[k] = R::combine(lanes[k], R::map(x[i + k]));
  for (int half = 4; half > 0; half /= 2)
    for (int k = 0; k < half; ++k) lanes[k] = R::combine(lanes[k], lanes[k + half]);
  return lanes[0];
}

template <class T>
struct SumOf : Reducer<T> {
  using typename Reducer<T>::Acc;
  static Acc empty() { return 0; }
  static Acc combine(Acc a, Acc b) { return a + b; }
  static Acc row(const T* x, std::int64_t n) {
    if constexpr (std::is_same_v<T, float>) return simd<float>().sum_f64(x, n);
    else return fold_row<SumOf<T>>(x, n);
  }
  static void add_rows(const T* x, std::int64_t rows, double* y, std::int64_t n)
    requires std::is_same_v<Acc, double>
  {
    if constexpr (is_narrow<T>) {
      constexpr std::int64_t block = 512;
      float buffer[block];
      for (std::int64_t c = 0; c < n; c += block) {
        const std::int64_t count = std::min(block, n - c);
        for (std::int64_t r = 0; r < rows; ++r)
          simd_streams<float>().add_rows(widened(x + r * n + c, buffer, count), count, 1, y + c, count);
      }
    } else {
      simd_streams<T>().add_rows(x, n, rows, y, n);
    }
  }
};

template <class T>
struct MeanOf : SumOf<T> {
  using typename Reducer<T>::Acc;
  static T finish(Acc total, std::int64_t n) { return Reducer<T>::finish(total / static_cast<double>(n), n); }
};

template <class T>
struct MaxOf : Reducer<T> {
  using typename Reducer<T>::Acc;
  static Acc empty() {
    if constexpr (std::is_integral_v<Acc>) return std::numeric_limits<Acc>::lowest();
    else return -std::numeric_limits<Acc>::infinity();
  }
  static Acc combine(Acc a, Acc b) { return a > b || a != a ? a : b; }  // NaN wins
  static Acc row(const T* x, std::int64_t n) { return fold_row<MaxOf<T>>(x, n); }
};

template <class T>
struct MinOf : Reducer<T> {
  using typename Reducer<T>::Acc;
  static Acc empty() {
    if constexpr (std::is_integral_v<Acc>) return std::numeric_limits<Acc>::max();
    else return std::numeric_limits<Acc>::infinity();
  }
  static Acc combine(Acc a, Acc b) { return a < b || a != a ? a : b; }
  static Acc row(const T* x, std::int64_t n) { return fold_row<MinOf<T>>(x, n); }
};

template <class T>
struct AllOf : Reducer<T> {
  static bool empty() { return true; }
  static bool combine(bool a, bool b) { return a && b; }
  static bool row(const T* x, std::int64_t n) { return fold_row<AllOf<T>>(x, n); }
};

template <class T>
struct AnyOf : Reducer<T> {
  static bool empty() { return false; }
  static bool combine(bool a, bool b) { return a || b; }
  static bool row(const T* x, std::int64_t n) { return fold_row<AnyOf<T>>(x, n); }
};

}  // namespace weft
