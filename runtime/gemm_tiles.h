// A product without a C: what becomes of each finished tile is the caller's. Not in <weft/weft.h>.
#pragma once

#include <weft/runtime/gemm.h>

namespace weft {

/// Bytes of the 64-byte aligned workspace of gemm_tiles.
std::size_t gemm_tiles_workspace(const Gemm& g, DType input, DType output, int threads);

/// Each finished tile of alpha op(A) op(B) lies in a buffer of its slot, and `take` does with it what is wanted (adds
/// it to what lies elsewhere). The tiles and their bits are gemm's; beta must be 0, ldc is not looked at. `bias` [n],
/// of the output's type, is in the sums before they are rounded; null: none.
void gemm_tiles(const Gemm& g, DType input, DType output, const void* a, const void* b, std::span<std::byte> workspace,
                GemmEpilogue take, const void* bias = nullptr);

}  // namespace weft
