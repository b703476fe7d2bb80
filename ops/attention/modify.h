// Runs a user's score modifier and pattern of pairs on a strip of rows of a tile: products become modified scores,
// pairs that do not exist become -inf, and the cotangent of a score goes back through its modifier. Private to ops/.
#pragma once

#include <weft/ops/attention/blocks.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace weft {

/// The indices of a tile: example, head, first query, first key.
struct TilePlace {
  std::int64_t b, h, i, j;
};

template <class T>
class TileFunctions {
 public:
  using A = Wide<T>;
  TileFunctions(Carver& carver, const AttentionFunctions& functions)
      : score_(carver.take<std::byte>(static_cast<std::int64_t>(functions.score_bytes()))),
        pairs_(carver.take<std::byte>(static_cast<std::int64_t>(functions.pair_bytes()))) {}

  /// To be called once for each task.
  void begin(const AttentionScores<T>& s) const {
    if (s.functions.score() != nullptr) s.functions.score()->begin(score_, s.score_captures.data());
    if (s.functions.pairs() != nullptr) s.functions.pairs()->begin(pairs_, s.pair_captures.data());
  }

  /// Rows [r0, r0 + rows) of x, where seen: products in, modified scores out.
  void modify(const AttentionScores<T>& s, const TileRange& range, const TilePlace& at, std::int64_t r0,
              std::int64_t rows, const Rows<A>& x) const {
    const ScoreProgram* program = s.functions.score();
    if (program == nullptr) return;
    program->place(score_, s.score_captures.data(), block_of(s, range, at, r0, rows));
    for (std::int64_t r = 0; r < program->rows(); ++r) {
      const std::int64_t first = r < rows ? range.first[r0 + r] : 0, last = r < rows ? range.last[r0 + r] : 0;
      A* score = program->template score<A>(score_, r);
      std::fill_n(score, first, A(0));
      std::fill(score + last, score + program->columns(), A(0));
      if (first < last) s.simd.scale(x[r0 + r] + first, static_cast<A>(s.scale), score + first, last - first);
    }
    program->run(score_);
    for (std::int64_t r = 0; r < rows; ++r)
      std::copy(program->template output<A>(score_, 0, r) + range.first[r0 + r],
                program->template output<A>(score_, 0, r) + range.last[r0 + r], x[r0 + r] + range.first[r0 + r]);
  }

  /// Rows of d, where seen: cotangents of the modified scores (of the last modify()) in, cotangents of the scores out.
  /// Then captures(program, slot) takes the gradients of what the modifier captures.
  template <class F>
  void derive(const AttentionScores<T>& s, const TileRange& range, std::int64_t r0, std::int64_t rows, const Rows<A>& d,
              F&& captures) const {
    const ScoreProgram* program = s.functions.score();
    for (std::int64_t r = 0; r < program->rows(); ++r) {
      A* cotangent = program->template cotangent<A>(score_, r);
      const std::int64_t first = r < rows ? range.first[r0 + r] : 0, last = r < rows ? range.last[r0 + r] : 0;
      std::fill_n(cotangent, first, A(0));
      if (first < last) std::copy(d[r0 + r] + first, d[r0 + r] + last, cotangent + first);
      std::fill(cotangent + last, cotangent + program->columns(), A(0));
    }
    program->run_derivative(score_);
    for (std::int64_t r = 0; r < rows; ++r) {
      const A* d_score = program->template output<A>(score_, 1, r);
      std::copy(d_score + range.first[r0 + r], d_score + range.last[r0 + r], d[r0 + r] + range.first[r0 + r]);
    }
    captures(*program, score_);
  }

  /// Which pairs of rows [r0, r0 + rows) exist, where that is computed: once a strip, before mask().
  void find_pairs(const AttentionScores<T>& s, const TileRange& range, const TilePlace& at, std::int64_t r0,
                  std::int64_t rows) const {
    const ScoreProgram* program = s.functions.pairs();
    if (program == nullptr) return;
    program->place(pairs_, s.pair_captures.data(), block_of(s, range, at, r0, rows));
    program->run(pairs_);
  }
  /// -inf in row r of x, scores up to a positive factor, where there is no pair; r0 is its strip's.
  void mask(const AttentionScores<T>& s, const TileRange& range, const TilePlace& at, std::int64_t r0, std::int64_t r,
            const Rows<A>& x) const {
    const std::int64_t first = range.first[r], last = range.last[r];
    if (const PairBlocks* blocks = s.functions.blocks(); blocks != nullptr && !blocks->all(at.h, at.i, at.j)) {
      const std::uint64_t* bits = blocks->row(at.h, at.i, at.j, r);
      for (std::int64_t c = first; c < last; ++c)
        if ((bits[c / 64] >> (c % 64) & 1U) == 0) x[r][c] = -AttentionScores<T>::infinity;
    }
    if (s.functions.pairs() == nullptr) return;
    const bool* seen = s.functions.pairs()->template output<bool>(pairs_, 0, r - r0);
    for (std::int64_t c = first; c < last; ++c)
      if (!seen[c]) x[r][c] = -AttentionScores<T>::infinity;
  }

 private:
  static ScoreProgram::Block block_of(const AttentionScores<T>& s, const TileRange& range, const TilePlace& at,
                                      std::int64_t r0, std::int64_t rows) {
    return {.b = at.b,
            .h = at.h,
            .i = at.i + r0,
            .j = at.j,
            .rows = rows,
            .columns = range.columns,
            .first_position = at.i + r0 + s.limits(at.b).offset};
  }

  std::byte *score_, *pairs_;
};

/// Whether a tile has no pairs, so that it is skipped.
template <class T>
bool no_pairs(const AttentionScores<T>& s, std::int64_t h, std::int64_t i, std::int64_t j) {
  return s.functions.blocks() != nullptr && s.functions.blocks()->none(h, i, j);
}

}  // namespace weft
