// One parallel task of the forward of block-wise attention: a block of queries of one head. attention_flash.cpp runs
// the tasks. Not in <weft/weft.h>.
#pragma once

#include <weft/ops/attention/blocks.h>
#include <weft/ops/attention/low.h>
#include <weft/ops/attention/modify.h>
#include <weft/runtime/gemm.h>

#include <algorithm>
#include <cstdint>

namespace weft {

// --- forward: y_i = sum_j p_ij keep_ij v_j, p_ij = exp(s_ij - logsumexp_i) -------------------------------------------

template <class T>
struct ForwardScratch {
  using A = Wide<T>;
  Rows<A> x, q, v, y;
  A *k, *buffer, *keep;
  TileSoftmax<A> rows;
  TileRange range;
  LowScratch low;
  TileFunctions<T> functions;
  bool* begun;  ///< by block of queries: whether it has had its first tile

  ForwardScratch(Carver& carver, const AttentionShape& s, const AttentionFunctions& bound)
      : x(take(carver, s.q_rows(), s.k_rows())),
        q(take(carver, s.q_chunk(), s.width)),
        v(take(carver, s.k_rows(), s.value_width)),
        y(take(carver, s.q_chunk(), s.value_width)),
        k(carver.take<A>(padded<A>(s.k_rows()) * s.width)),
        buffer(carver.take<A>(is_narrow<T> ? s.k_rows() * s.width : 0)),
        keep(carver.take<A>(s.dropout > 0 ? s.k_rows() : 0)),
        rows{carver.take<A>(s.q_chunk() + vector), carver.take<A>(s.q_chunk() + vector),
             carver.take<A>(s.q_chunk() + vector)},
        range(carver, s.q_rows()),
        low(carver, s, attention_is_low<T>(s)),
        functions(carver, bound),
        begun(carver.take<bool>(s.q_chunk() / s.q_rows())) {}

  static constexpr std::int64_t vector = 64 / sizeof(A);  // the longest
  static Rows<A> take(Carver& carver, std::int64_t rows, std::int64_t width) {
    const std::int64_t stride = padded<A>(width);
    return {carver.take<A>(rows * stride), stride};
  }
};

// Queries [i0, i0 + count) of one head: each block of keys is packed once, then used by all blocks of queries.
template <class T>
struct ForwardTask {
  using A = Wide<T>;
  const AttentionScores<T>& s;
  const ForwardScratch<T>& w;
  std::int64_t b, h, i0, count;

  // So few queries that packing would take longer than the products.
  bool direct() const { return s.time_q < 4; }
  bool low() const { return !direct() && attention_is_low<T>(s); }

  void run(T* y_out, A* tops, A* log_sums) const {
    const std::int64_t kv = h / s.group(), block = s.k_rows();
    const KeyLimits limits = s.limits(b);
    const KeyRange seen = limits.keys(i0, count);
    const std::int64_t start = seen.lo / block * block;
    if (!low()) pack_rows(s.q_row(b, h, i0), s.q_stride(), count, s.width, w.q);
    std::fill_n(w.rows.top, count, -s.infinity);
    std::fill_n(w.rows.sum, count, A(0));
    std::fill_n(w.begun, s.q_chunk() / s.q_rows(), false);
    w.functions.begin(s);
    for (std::int64_t j = start; j < seen.hi; j += block) {
      const std::int64_t columns = std::min(block, seen.hi - j);
      if (nobody(j)) continue;
      if (!direct() && !low()) {
        pack_panels(s.k_row(b, kv, j), s.k_stride(), columns, s.width, w.k, w.buffer);
        pack_rows(s.v_row(b, kv, j), s.v_stride(), columns, s.value_width, w.v);
      }
      for (std::int64_t i = 0; i < count; i += s.q_rows()) {
        const std::int64_t rows = std::min(s.q_rows(), count - i);
        const KeyRange here = limits.keys(i0 + i, rows);
        if (here.hi <= j || here.lo >= j + columns || no_pairs(s, h, i0 + i, j)) continue;
        TileRange range = w.range;
        range.set(limits, i0 + i, rows, j, columns);
        bool& begun = w.begun[i / s.q_rows()];
        tile(range, i, j, !begun);
        begun = true;
      }
    }
    finish(y_out, tops, log_sums);
  }

  // Whether the pattern of pairs leaves out the block of keys for all queries of the task.
  bool nobody(std::int64_t j) const {
    if (s.functions.blocks() == nullptr) return false;
    for (std::int64_t i = 0; i < count; i += s.q_rows())
      if (!no_pairs(s, h, i0 + i, j)) return false;
    return true;
  }

  // The tile of queries i0 + [i, ..) and keys [j, ..); `fresh`: the first that these queries see.
  void tile(const TileRange& range, std::int64_t i, std::int64_t j, bool fresh) const {
    const TileProducts<A> products{range};
    const Rows<A> y{w.y[i], w.y.stride};
    if (direct()) direct_scores(range, i, j);
    else if (low()) low_scores(range, i, j);
    else products.scores({w.q[i], w.q.stride}, w.k, s.width, w.x);
    const A factor = shape(range, {b, h, i0 + i, j});
    const TileSoftmax<A> state{w.rows.top + i, w.rows.sum + i, w.rows.shrink + i};
    products.tile.softmax({w.x.data, w.x.stride, range.rows, range.columns, range.first, range.last, factor}, state);
    for (std::int64_t r = 0; s.dropout > 0 && r < range.rows; ++r) {
      A* x = w.x[r] + range.first[r];
      const std::int64_t n = range.last[r] - range.first[r];
      s.keep(b, h, i0 + i + r, j + range.first[r], n, w.keep);
      s.simd.multiply(x, w.keep, x, n);
    }
    for (std::int64_t r = 0; !fresh && r < range.rows; ++r)
      if (state.shrink[r] != 1) s.simd.scale(y[r], state.shrink[r], y[r], s.value_width);
    if (direct()) direct_sums(range, i, j, !fresh);
    else if (low()) low_sums(range, j, y, !fresh);
    else products.from_columns(w.x, w.v, rounded_up(s.value_width, products.tile.panel), y, !fresh);
  }

  // Products become scores, up to the factor that is left.
  A shape(const TileRange& range, const TilePlace& at) const {
    A factor = static_cast<A>(s.scale);
    if (!s.shaped()) return factor;
    for (std::int64_t r0 = 0; r0 < range.rows; r0 += ScoreProgram::strip_rows) {
      const std::int64_t rows = std::min(ScoreProgram::strip_rows, range.rows - r0);
      w.functions.modify(s, range, at, r0, rows, w.x);
      w.functions.find_pairs(s, range, at, r0, rows);
      for (std::int64_t r = r0; r < r0 + rows; ++r) {
        const std::int64_t first = range.first[r], n = range.last[r] - first;
        factor = s.to_scores(b, h, at.i + r, at.j + first, n, w.x[r] + first, nullptr);
        w.functions.mask(s, range, at, r0, r, w.x);
      }
    }
    return factor;
  }

  void low_scores([[maybe_unused]] const TileRange& range, [[maybe_unused]] std::int64_t i,
                  [[maybe_unused]] std::int64_t j) const {
    if constexpr (std::is_same_v<T, bfloat16>)
      LowProducts(range, w.low)
          .scores({s.q_row(b, h, i0 + i), s.q_stride()}, {s.k_row(b, h / s.group(), j), s.k_stride()}, s.width, w.x);
  }
  void low_sums([[maybe_unused]] const TileRange& range, [[maybe_unused]] std::int64_t j,
                [[maybe_unused]] const Rows<A>& y, [[maybe_unused]] bool add) const {
    if constexpr (std::is_same_v<T, bfloat16>) {
      const LowProducts products(range, w.low);
      products.round(w.x);
      products.from_columns({s.v_row(b, h / s.group(), j), s.v_stride()}, s.value_width, y, add);
    }
  }

  void direct_scores(const TileRange& range, std::int64_t i, std::int64_t j) const {
    const Rows<const A> k = wide_rows(s.k_row(b, h / s.group(), j), s.k_stride(), range.columns, s.width, w.k);
    gemm_tile(Gemm{.trans_b = true,
                   .m = range.rows,
                   .n = range.columns,
                   .k = s.width,
                   .lda = w.q.stride,
                   .ldb = k.stride,
                   .ldc = w.x.stride},
              static_cast<const A*>(w.q[i]), k.data, w.x.data);
  }
  void direct_sums(const TileRange& range, std::int64_t i, std::int64_t j, bool add) const {
    const Rows<const A> v =
        wide_rows(s.v_row(b, h / s.group(), j), s.v_stride(), range.columns, s.value_width, w.v.data);
    gemm_tile(Gemm{.m = range.rows,
                   .n = s.value_width,
                   .k = range.columns,
                   .lda = w.x.stride,
                   .ldb = v.stride,
                   .ldc = w.y.stride,
                   .beta = add ? 1.0 : 0.0},
              static_cast<const A*>(w.x.data), v.data, w.y[i]);
  }
  static Rows<const A> wide_rows(const T* x, std::int64_t stride, std::int64_t rows, std::int64_t width, A* buffer) {
    if constexpr (!is_narrow<T>) return {x, stride};
    for (std::int64_t r = 0; r < rows; ++r) widened(x + r * stride, buffer + r * width, width);
    return {buffer, width};
  }

  void finish(T* y_out, A* tops, A* log_sums) const {
    const std::int64_t row = s.row_index(b, h, i0);
    std::copy_n(w.rows.top, count, tops + row);
    s.simd.log(w.rows.sum, log_sums + row, count);
    y_out += ((b * s.time_q + i0) * s.heads + h) * s.value_width;
    for (std::int64_t r = 0; r < count; ++r, y_out += s.y_stride()) {
      const A sum = w.rows.sum[r];
      A* y = wide_target(y_out, w.y[r]);
      if (sum != 0) s.simd.scale(w.y[r], 1 / sum, y, s.value_width);
      else std::fill_n(y, s.value_width, A(0));  // no key was seen
      store(y, y_out, s.value_width);
    }
  }
};

}  // namespace weft
