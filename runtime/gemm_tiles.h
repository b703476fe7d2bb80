// A matrix product that hands each finished tile to a function of the caller, instead of writing C.
// Not in <weft/weft.h>.
#pragma once

#include <weft/runtime/gemm.h>

namespace weft {

/// Bytes of the 64-byte aligned workspace of gemm_tiles.
std::size_t gemm_tiles_workspace(const Gemm& g, DType input, DType output, int threads);

/// Computes each tile of alpha op(A) op(B) in a buffer of its slot and calls `take`, which uses it (adds it to another
/// buffer, for example). The tiles and their bits are gemm's; beta must be 0, ldc is ignored. `bias` [n], of the
/// output's type, is added before the sums are rounded; null: none.
void gemm_tiles(const Gemm& g, DType input, DType output, const void* a, const void* b, std::span<std::byte> workspace,
                GemmEpilogue take, const void* bias = nullptr);

}  // namespace weft
