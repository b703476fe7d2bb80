// Products of attention's tiles by the processor's own bf16 arithmetic (oneDNN: AVX512-BF16, AMX). Operands are read
// where they lie, weights are rounded to bf16 for their products, every sum is f32. Where bf16 is emulated the tiles of
// runtime/simd/tile.h are faster. Not in <weft/weft.h>.
#pragma once

#include <weft/ops/attention/blocks.h>
#include <weft/ops/attention/flash.h>
#include <weft/runtime/gemm.h>

#include <span>
#include <type_traits>

namespace weft {

/// Whether tiles of T are computed by LowProducts: if the processor has bf16 products, or the node asks for them.
template <class T>
bool attention_is_low(const AttentionShape& s) {
  if constexpr (std::is_same_v<T, bfloat16>) return !bf16_is_emulated() || s.low;
  return false;
}

/// What a slot needs: a tile rounded to bf16, and the workspace of an emulated product.
struct LowScratch {
  bfloat16* rounded = nullptr;
  std::int64_t stride = 0;
  std::span<std::byte> workspace = {};

  LowScratch(Carver& carver, const AttentionShape& s, bool low) {
    if (!low) return;
    stride = rounded_up(s.k_rows(), 32);
    rounded = carver.take<bfloat16>(s.q_rows() * stride);
    const std::int64_t width = std::max(s.width, s.value_width);
    std::size_t bytes = 0;  // of scores, from_columns, from_rows
    for (const Gemm& g :
         {Gemm{.m = s.q_rows(), .n = s.k_rows(), .k = width}, Gemm{.m = s.q_rows(), .n = width, .k = s.k_rows()},
          Gemm{.m = s.k_rows(), .n = width, .k = s.q_rows()}})
      bytes = std::max(bytes, gemm_tile_workspace(g, bf16, f32));
    workspace = {carver.take<std::byte>(static_cast<std::int64_t>(bytes)), bytes};
  }
};

/// Rows of bf16 in memory.
struct LowRows {
  const bfloat16* data;
  std::int64_t stride;
};

/// Products of a tile, as TileProducts. Only columns that some row sees are computed, rounded out to multiples of 32:
/// that gives few shapes, each of which oneDNN compiles.
struct LowProducts {
  const TileRange& range;
  const LowScratch& scratch;
  std::int64_t begin, end;

  LowProducts(const TileRange& tile, const LowScratch& slot)
      : range(tile),
        scratch(slot),
        begin(tile.first[0] / 32 * 32),
        end(std::min(tile.columns, rounded_up(tile.last[tile.rows - 1], 32))) {}

  std::int64_t seen() const { return std::max<std::int64_t>(end - begin, 0); }

  /// x = a b^T where seen
  void scores(LowRows a, LowRows b, std::int64_t width, const Rows<float>& x) const {
    if (seen() == 0) return;
    gemm_tile(Gemm{.trans_b = true,
                   .m = range.rows,
                   .n = seen(),
                   .k = width,
                   .lda = a.stride,
                   .ldb = b.stride,
                   .ldc = x.stride},
              a.data, b.data + begin * b.stride, x.data + begin, scratch.workspace);
  }
  /// x, zero where not seen, for the two products below.
  void round(const Rows<float>& x) const {
    for (std::int64_t r = 0; r < range.rows; ++r) narrow(x[r] + begin, scratch.rounded + r * scratch.stride, seen());
  }
  /// c (rows, width) = or += the rounded times b
  void from_columns(LowRows b, std::int64_t width, const Rows<float>& c, bool add) const {
    if (seen() == 0) {
      for (std::int64_t r = 0; !add && r < range.rows; ++r) std::fill_n(c[r], width, 0.0F);
      return;
    }
    gemm_tile(Gemm{.m = range.rows,
                   .n = width,
                   .k = seen(),
                   .lda = scratch.stride,
                   .ldb = b.stride,
                   .ldc = c.stride,
                   .beta = add ? 1.0 : 0.0},
              scratch.rounded, b.data + begin * b.stride, c.data, scratch.workspace);
  }
  /// c (columns, width) = or += the rounded, transposed, times b
  void from_rows(LowRows b, std::int64_t width, const Rows<float>& c, bool add) const {
    for (std::int64_t r = 0; !add && r < range.columns; ++r)
      if (r < begin || r >= end) std::fill_n(c[r], width, 0.0F);
    if (seen() == 0) return;
    gemm_tile(Gemm{.trans_a = true,
                   .m = seen(),
                   .n = width,
                   .k = range.rows,
                   .lda = scratch.stride,
                   .ldb = b.stride,
                   .ldc = c.stride,
                   .beta = add ? 1.0 : 0.0},
              scratch.rounded, b.data, c[begin], scratch.workspace);
  }
};

}  // namespace weft
