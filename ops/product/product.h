// Matrix products with a bias, for kernels: gemm() with an epilogue that runs on its tiles while they are in cache.
// Not in <weft/weft.h>.
#pragma once

#include <weft/ops/kit/rows.h>
#include <weft/runtime/gemm.h>
#include <weft/runtime/kernel.h>

#include <algorithm>

namespace weft {

/// The part of a kernel's workspace, from byte `offset`, that gemm may use.
inline std::span<std::byte> gemm_space(const Gemm& g, const KernelContext& context, std::size_t offset = 0) {
  const DType dtype = context.type(0).dtype;
  return {context.workspace() + offset, gemm_workspace(g, dtype, dtype, threads())};
}

/// C = op(A) op(B) + bias, rounded once; bias [n] or null. `then` runs on each tile after that.
template <class T>
void gemm_bias(Gemm g, const T* a, const T* b, const T* bias, T* c, std::span<std::byte> workspace,
               GemmEpilogue then = {}) {
  if constexpr (is_narrow<T>) {
    // C is rounded when it is stored, so the bias must be in it before.
    if (bias != nullptr) {
      for_row_tiles(g.m, g.n, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t row = begin; row < end; ++row) std::copy_n(bias, g.n, c + row * g.n);
      });
      g.beta = 1;
    }
    gemm(g, a, b, c, workspace, then);
  } else {
    if (bias == nullptr) return gemm(g, a, b, c, workspace, then);
    const auto epilogue = [&](const GemmTile& tile) {
      for (std::int64_t row = 0; row < tile.rows; ++row) {
        T* y = static_cast<T*>(tile.c) + row * tile.ldc;
        simd<T>().add(y, bias + tile.column, y, tile.columns);
      }
      if (then) then(tile);
    };
    gemm(g, a, b, c, workspace, epilogue);
  }
}

}  // namespace weft
