// oneDNN's matrix products, by one interface for its versions 2 and 3. Row-major; C(m, n) = alpha op(A) op(B) + beta C,
// where op transposes if told; C is not read when beta is 0. Called inside a body of parallel_for, a product runs on
// the calling thread. For gemm.cpp; all other code calls gemm(). Not in <weft/weft.h>.
#pragma once

#include <weft/graph/dtype.h>

#include <cstddef>
#include <cstdint>

namespace weft::onednn {

struct Product {
  bool trans_a, trans_b;
  std::int64_t m, n, k;
  std::int64_t lda, ldb, ldc;
  float alpha, beta;
};

/// f32, through oneDNN's BLAS-like call.
void sgemm(const Product& p, const float* a, const float* b, float* c);

/// True where the processor multiplies bf16 itself (AVX512-BF16 or AMX), so that `matmul` is not emulated.
bool has_bf16();

/// How many primitives a thread keeps, one for each shape of a product: enough for several models. Each is some tens of
/// KiB of code.
inline constexpr std::size_t most_primitives = 256;

/// `input` (bf16 or f32) products summed in f32 and rounded to `output` (bf16 or f32), through the
/// matmul primitive. Each thread keeps the last `most_primitives` that it has used: the first call with a shape is
/// slow.
void matmul(const Product& p, DType input, DType output, const void* a, const void* b, void* c);

}  // namespace weft::onednn
