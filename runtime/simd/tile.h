// Tiles of attention: small products of packed operands and the softmax between them, compiled for each instruction set
// like the tables of simd.h, and chosen with them. Everything stays in cache; nothing allocates or is parallel.
//
// The right operand of a product is packed into panels of `panel` columns: row r of panel p at b + p panel_stride + r
// ldb, padded with zeros to whole panels. Both packings below give that form. The sum of an element of c runs over k in
// order, so its bits do not depend on its place.
#pragma once

#include <cstdint>

namespace weft {

/// c (m, n) = or += op(a) (m, k) b (k, n). op(a)(i, l) is a[i lda + l], or transposed a[l lda + i].
template <class T>
struct TileProduct {
  std::int64_t m, n, k;
  const T* a;
  std::int64_t lda;
  const T* b;
  std::int64_t ldb, panel_stride;
  T* c;
  std::int64_t ldc;
  bool add;
};

/// Rows x of scores before scaling, of which the keys [first[r], last[r]) are not masked. Rows have room for whole
/// panels.
template <class T>
struct TileRows {
  T* x;
  std::int64_t ld, rows, columns;
  const std::int32_t *first, *last;
  T factor;  ///< score = factor x; > 0
};

/// Running softmax of rows (online softmax): top is the largest score, sum is the sum of exp(score - top), shrink =
/// exp(old top - new top) rescales earlier sums. Room for a whole vector after the last row.
template <class T>
struct TileSoftmax {
  T *top, *sum, *shrink;
};

/// What softmax_grad needs of row r: the largest score shift[r], 1 / sum of exp(score - shift[r]) as share[r], and
/// inner[r]; d_p has the tile's stride.
template <class T>
struct TileSoftmaxGrad {
  T* d_p;
  const T *shift, *share, *inner;
  T scale;
};

template <class T>
struct TileKernels {
  std::int64_t panel;       ///< columns
  std::int64_t panel_rows;  ///< rows of c per pass over a panel: best if m is a multiple
  void (*product)(const TileProduct<T>& p);
  void (*product_transposed)(const TileProduct<T>& p);
  /// y (rows, columns) = x with zeros up to whole panels, row after row: ldb = ld_y, panel_stride = panel.
  void (*pack)(const T* x, std::int64_t ld_x, std::int64_t rows, std::int64_t columns, T* y, std::int64_t ld_y);
  /// Panels of x^T: columns are the rows of x; ldb = panel, panel_stride = panel times the columns of x.
  void (*pack_transposed)(const T* x, std::int64_t ld_x, std::int64_t rows, std::int64_t columns, T* y);
  /// x := exp(score - top), zero where masked; the running statistics are updated.
  void (*softmax)(const TileRows<T>& t, const TileSoftmax<T>& s);
  /// x := the weights p = share[r] exp(score - shift[r]) and d_p := scale p (d_p - inner[r]); zero where masked.
  void (*softmax_grad)(const TileRows<T>& t, const TileSoftmaxGrad<T>& g);
  /// y[r] = <a_r, b_r>
  void (*dots)(const T* a, std::int64_t ld_a, const T* b, std::int64_t ld_b, std::int64_t rows, std::int64_t columns,
               T* y);
};

struct TileTables {
  TileKernels<float> f32;
  TileKernels<double> f64;
};

enum class SimdLevel;
/// The tables of a level, or null where the processor lacks it; without an argument, those in use (simd.h).
const TileTables* tile_tables(SimdLevel level);
const TileTables& tile_tables();

template <class T>
const TileKernels<T>& tile_kernels();
template <>
inline const TileKernels<float>& tile_kernels<float>() {
  return tile_tables().f32;
}
template <>
inline const TileKernels<double>& tile_kernels<double>() {
  return tile_tables().f64;
}

}  // namespace weft
