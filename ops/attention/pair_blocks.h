// A pattern of pairs as tiles of the block-wise kernel: which are empty, which are full, and bits of the others, each
// distinct tile once. Private to ops/.
#pragma once

#include <weft/ops/attention/score_function.h>
#include <weft/ops/attention/shape.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace weft {

class PairBlocks {
 public:
  /// Of a function of indices alone: no captures, and it reads no batch.
  PairBlocks(std::shared_ptr<const Description> function, const AttentionShape& shape);

  /// Tile of queries [i, ..) and keys [j, ..) of head h; i and j begin a tile.
  bool none(std::int64_t h, std::int64_t i, std::int64_t j) const { return at(h, i, j) == empty; }
  bool all(std::int64_t h, std::int64_t i, std::int64_t j) const { return at(h, i, j) == full; }
  /// Bits of row r of a tile that has some: bit c is key j + c.
  const std::uint64_t* row(std::int64_t h, std::int64_t i, std::int64_t j, std::int64_t r) const {
    return bits_.data() + (at(h, i, j) * rows_ + r) * words_;
  }
  bool sees(std::int64_t h, std::int64_t i, std::int64_t j, std::int64_t r, std::int64_t c) const {
    return all(h, i, j) || (!none(h, i, j) && (row(h, i, j, r)[c / 64] >> (c % 64) & 1U) != 0);
  }
  bool matches(const Description& function, const AttentionShape& shape) const;

 private:
  static constexpr std::int64_t empty = -1, full = -2;
  std::int64_t at(std::int64_t h, std::int64_t i, std::int64_t j) const {
    return tiles_[static_cast<std::size_t>(((heads_ == 1 ? 0 : h) * tile_rows_ + i / rows_) * tile_columns_ +
                                           j / columns_)];
  }

  std::shared_ptr<const Description> function_;
  std::int64_t heads_, time_q_, time_k_, offset_, rows_, columns_, words_, tile_rows_, tile_columns_;
  std::vector<std::int64_t> tiles_;  ///< number of the tile's bits, empty or full
  std::vector<std::uint64_t> bits_;
};

/// Whether the pattern reads indices alone and the offset is known: it is laid out in tiles.
bool pairs_are_static(const OpView& view);
/// The tiles, shared by all nodes of the same pattern and shape; null where there is no pattern, or it is not static.
std::shared_ptr<const PairBlocks> pair_blocks(const OpView& view);

}  // namespace weft
