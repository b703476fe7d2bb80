// Matrix products: C = alpha op(A) op(B) + beta C, row-major; op may transpose. No other code calls the products of
// oneDNN or OpenBLAS.
//
//   gemm(Gemm{.trans_b = true, .m = rows, .n = out, .k = in}, x, weight, y, workspace);
//
//   A, B   C           computed by
//   f32    f32         oneDNN; OpenBLAS where A is transposed
//   f64    f64         OpenBLAS
//   bf16   bf16, f32   oneDNN where the processor has bf16 products, else as f16
//   f16    f16, f32    panels widened to f32 in the workspace, f32 products and sums
//
// C is cut into tiles by its SHAPE, and each tile is one single-threaded product with its whole k,
// so the bits depend on the description alone: not on the number of threads, not on where the data
// lies. An epilogue runs on each tile while it is in cache. Where the library is built with
// WEFT_PLAIN_GEMM (ThreadSanitizer) all products are plain_gemm's.
#pragma once

#include <weft/graph/dtype.h>
#include <weft/runtime/function_ref.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace weft {

struct Gemm {
  bool trans_a = false, trans_b = false;
  std::int64_t m = 0, n = 0, k = 0;        ///< C is (m, n), op(A) (m, k), op(B) (k, n)
  std::int64_t lda = 0, ldb = 0, ldc = 0;  ///< elements from row to row; 0: packed
  double alpha = 1, beta = 0;              ///< with beta = 0, C is not read
  std::int64_t batch = 1;  ///< number of products; the strides are the distances between them, in elements
  std::int64_t stride_a = 0, stride_b = 0, stride_c = 0;  ///< 0 for A or B: the same for all
};

/// A finished part of C, `rows` x `columns` from (row, column) of product `batch`; c points to its
/// first element and is of C's element type. `slot` is parallel_for's.
struct GemmTile {
  std::int64_t batch, row, column, rows, columns;
  void* c;
  std::int64_t ldc;
  int slot;
};
using GemmEpilogue = FunctionRef<void(const GemmTile&)>;

/// Bytes of the 64-byte aligned workspace that gemm needs with `threads` threads (0 for f32, f64).
std::size_t gemm_workspace(const Gemm& g, DType input, DType output, int threads);

/// The product, by parallel_for over tiles. Pointers are to elements of the stated types.
void gemm(const Gemm& g, DType input, DType output, const void* a, const void* b, void* c,
          std::span<std::byte> workspace = {}, GemmEpilogue epilogue = {});

template <class In, class Out>
void gemm(const Gemm& g, const In* a, const In* b, Out* c, std::span<std::byte> workspace = {},
          GemmEpilogue epilogue = {}) {
  gemm(g, dtype_of<In>, dtype_of<Out>, a, b, c, workspace, epilogue);
}

/// A product on the calling thread, for use inside a body of parallel_for (attention's blocks). It is not cut into
/// tiles, so keep m and n to a few hundred.
std::size_t gemm_tile_workspace(const Gemm& g, DType input, DType output);
void gemm_tile(const Gemm& g, DType input, DType output, const void* a, const void* b, void* c,
               std::span<std::byte> workspace = {});

template <class In, class Out>
void gemm_tile(const Gemm& g, const In* a, const In* b, Out* c, std::span<std::byte> workspace = {}) {
  gemm_tile(g, dtype_of<In>, dtype_of<Out>, a, b, c, workspace);
}

/// The plain definition and test oracle: every sum in double, in order of k, then rounded once.
void plain_gemm(const Gemm& g, DType input, DType output, const void* a, const void* b, void* c);

/// How C is cut: tiles of rows x columns, the last of each smaller. A function of the shape, the
/// batch and trans_a alone.
struct GemmCut {
  std::int64_t rows, columns;
};
GemmCut gemm_cut(const Gemm& g);

/// True where bf16 products are emulated on this processor: correct, but not faster than f32.
bool bf16_is_emulated();

}  // namespace weft
