// Patterns of pairs for AttentionOptions::pairs: which keys a query may attend to. They combine by |, & and !. A
// pattern that reads nothing but indices is laid out in tiles once, when a plan is bound: tiles without pairs cost
// nothing, in any layer.
#pragma once

#include <weft/ops/attention/attention.h>

#include <cstdint>
#include <string>
#include <vector>

namespace weft::pairs {

/// |i - j| < window or (i - j) mod stride = 0 (Child et al. 2019, "Generating Long Sequences with Sparse Transformers",
/// section 4.3, the strided pattern without its causal half). UserError: a window or a stride below 1.
PairPattern strided(std::int64_t window, std::int64_t stride);
/// Some whole m has both i and j in [m stride, m stride + window). The same as AttentionOptions::window and
/// window_stride, which cost less. UserError: as strided.
PairPattern local(std::int64_t window, std::int64_t stride = 1);
/// j <= i. The same as AttentionOptions::causal, which costs less.
PairPattern causal();
/// The first `tokens` keys are seen by all queries, and the first queries see all keys (Beltagy et al. 2020,
/// "Longformer", section 3.1, global attention). UserError: tokens below 1.
PairPattern global(std::int64_t tokens);
/// Pair (i, j) exists where blocks[i / size][j / size]. UserError: rows of unequal length, none, a size below 1; when
/// attention is built: queries or keys outside.
PairPattern blocks(const std::vector<std::vector<bool>>& matrix, std::int64_t size);
/// Pair (i, j) exists where matrix[i][j]: blocks of size 1.
PairPattern elements(const std::vector<std::vector<bool>>& matrix);
/// Queries and keys of the same document: ids [batch, time] of i32 or i64, of keys and of queries that are the keys'
/// own (self-attention). Read when the program runs, so no tile is left out.
PairPattern documents(const Value& ids);

}  // namespace weft::pairs

namespace weft {

PairPattern operator|(PairPattern a, PairPattern b);  ///< pairs of either
PairPattern operator&(PairPattern a, PairPattern b);  ///< pairs of both
PairPattern operator!(PairPattern pattern);           ///< all others

/// How many pairs and tiles of attention a pattern keeps. Tiles are those of the block-wise kernel, pairs those of one
/// example, over all heads.
struct PairReport {
  double pairs = 0;        ///< that exist, with causality and window
  double all_pairs = 0;    ///< heads x time_q x time_k
  std::int64_t tiles = 0;  ///< computed
  std::int64_t all_tiles = 0;
  std::int64_t tile_rows = 0, tile_columns = 0;
  double skipped() const {
    return all_tiles == 0 ? 0 : 1 - static_cast<double>(tiles) / static_cast<double>(all_tiles);
  }
  std::string str() const;
};
/// The report of an attention that was already built: `y` is an output of attention(). UserError: it is not, or its
/// pairs are known only when the program runs (AttentionOptions::start, mask and lengths are not counted; a pattern
/// that reads them or values is an error).
PairReport pair_report(const Value& y);

}  // namespace weft
