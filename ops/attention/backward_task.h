// One parallel task of the backward of block-wise attention: some keys of one kv head. attention_flash.cpp runs the
// tasks. Not in <weft/weft.h>.
#pragma once

#include <weft/ops/attention/blocks.h>
#include <weft/ops/attention/forward_task.h>
#include <weft/ops/attention/sums.h>

#include <algorithm>
#include <cstdint>

namespace weft {

// --- backward --------------------------------------------------------------------------------------------------------
// d_p = (d_y v^T) keep;  d_s = p (d_p - inner), inner = <d_y, y> - d_logsumexp
// d_v = (p keep)^T d_y;  d_q = scale d_s k;  d_k = scale d_s^T q

// Keys [j0, j1) of one kv head against the queries of its heads: d_k and d_v, and these keys' share of d_q.
template <class A>
struct BackwardTask {
  std::int64_t b, kv, j0, j1;
  A* d_q;  ///< [batch, time_q, heads, width]
  SumTask sums;
};

template <class T>
struct BackwardScratch {
  using A = Wide<T>;
  Rows<A> weights, d_scores, dropped, q, d_y, k, d_k, d_v;
  A *k_panels, *v_panels, *buffer, *keep, *slope, *inner, *shift, *share;
  TileRange range;
  LowScratch low;
  TileFunctions<T> functions;

  BackwardScratch(Carver& carver, const AttentionShape& s, const AttentionFunctions& bound)
      : weights(take(carver, s.q_rows(), s.k_rows())),
        d_scores(take(carver, s.q_rows(), s.k_rows())),
        dropped(s.dropout > 0 ? take(carver, s.q_rows(), s.k_rows()) : weights),
        q(take(carver, s.q_rows(), s.width)),
        d_y(take(carver, s.q_rows(), s.value_width)),
        k(take(carver, s.k_rows(), s.width)),
        d_k(take(carver, is_narrow<T> ? s.k_rows() : 0, s.width)),
        d_v(take(carver, is_narrow<T> ? s.k_rows() : 0, s.value_width)),
        k_panels(carver.take<A>(padded<A>(s.k_rows()) * s.width)),
        v_panels(carver.take<A>(padded<A>(s.k_rows()) * s.value_width)),
        buffer(carver.take<A>(is_narrow<T> ? std::max(s.k_rows(), std::int64_t{2}) * std::max(s.width, s.value_width)
                                           : 0)),
        keep(carver.take<A>(s.dropout > 0 ? s.k_rows() : 0)),
        slope(carver.take<A>(s.soft_cap > 0 ? s.k_rows() : 0)),
        inner(carver.take<A>(s.group() * s.time_q)),
        shift(carver.take<A>(s.group() * s.time_q)),
        share(carver.take<A>(s.group() * s.time_q)),
        range(carver, s.q_rows()),
        low(carver, s, attention_is_low<T>(s)),
        functions(carver, bound) {}

  static Rows<A> take(Carver& carver, std::int64_t rows, std::int64_t width) {
    return ForwardScratch<T>::take(carver, rows, width);
  }
};

template <class T>
struct BackwardRun {
  using A = Wide<T>;
  const AttentionScores<T> s;
  const T *y, *d_y;
  const RowScalars<T> top, log_sum, d_logsumexp;
  T *d_k, *d_v;
  const AttentionSums& sums;
  KernelContext& context;

  BackwardRun(KernelContext& kernel, const AttentionShape& shape, const AttentionFunctions& functions,
              const AttentionSums& of_scores)
      : s(kernel, shape, functions),
        y(kernel.in<T>(AttentionIn::y)),
        d_y(kernel.in<T>(AttentionIn::d_y)),
        top(kernel, AttentionIn::top),
        log_sum(kernel, AttentionIn::log_sum),
        d_logsumexp(kernel, AttentionIn::d_logsumexp),
        d_k(kernel.out<T>(1)),
        d_v(kernel.out<T>(2)),
        sums(of_scores),
        context(kernel) {}

  std::int64_t y_at(std::int64_t b, std::int64_t h, std::int64_t i) const {
    return ((b * s.time_q + i) * s.heads + h) * s.value_width;
  }

  // inner_i of each query, head by head, its largest score and 1 / sum exp(s - that): beside large scores one number
  // for both, the logsumexp, would have no digit of the sum. exp(s - inf) = 0 for queries without keys.
  void row_numbers(const BackwardTask<A>& t, const BackwardScratch<T>& w) const {
    for (std::int64_t g = 0; g < s.group(); ++g) {
      const std::int64_t h = t.kv * s.group() + g, at = y_at(t.b, h, 0), row = s.row_index(t.b, h, 0);
      A *inner = w.inner + g * s.time_q, *shift = w.shift + g * s.time_q, *share = w.share + g * s.time_q;
      if constexpr (!is_narrow<T>) {
        tile_kernels<A>().dots(y + at, s.y_stride(), d_y + at, s.y_stride(), s.time_q, s.value_width, inner);
      } else {
        for (std::int64_t i = 0; i < s.time_q; ++i) {
          const A* a = widened(y + at + i * s.y_stride(), w.buffer, s.value_width);
          const A* c = widened(d_y + at + i * s.y_stride(), w.buffer + s.value_width, s.value_width);
          tile_kernels<A>().dots(a, 0, c, 0, 1, s.value_width, inner + i);
        }
      }
      for (std::int64_t i = 0; i < s.time_q; ++i) {
        if (d_logsumexp) inner[i] -= d_logsumexp[row + i];
        shift[i] = top[row + i] == -s.infinity ? s.infinity : top[row + i];
        share[i] = shift[i] == s.infinity ? A(0) : -log_sum[row + i];
      }
      s.simd.exp(share, share, s.time_q);
    }
  }

  // Of the queries of a tile, from its first on.
  struct Numbers {
    const A *shift, *share, *inner;
  };

  // Products in `weights` and d_y v^T in `d_scores` become p keep (in `dropped`) and d_s times the scale.
  void weights(const BackwardTask<A>& t, const BackwardScratch<T>& w, const TileRange& range, const TilePlace& at,
               const Numbers& of_rows) const {
    const bool plain = !s.shaped() && s.dropout == 0;
    if (plain) return softmax_grad(w, range, 0, range.rows, static_cast<A>(s.scale), of_rows, s.scale);
    // Sums and modifiers read the gradient of the score itself, before the scale.
    const double scale = sums.any() || s.functions.score() != nullptr ? 1 : s.scale;
    for (std::int64_t r0 = 0; r0 < range.rows; r0 += ScoreProgram::strip_rows) {
      const std::int64_t rows = std::min(ScoreProgram::strip_rows, range.rows - r0);
      w.functions.modify(s, range, at, r0, rows, w.weights);
      w.functions.find_pairs(s, range, at, r0, rows);
      for (std::int64_t r = r0; r < r0 + rows; ++r) {
        const std::int64_t first = range.first[r], n = range.last[r] - first;
        const A factor = s.to_scores(at.b, at.h, at.i + r, at.j + first, n, w.weights[r] + first, w.slope);
        w.functions.mask(s, range, at, r0, r, w.weights);
        row(w, range, at, r, factor, of_rows, scale);
        A* d_s = w.d_scores[r] + first;
        if (const auto* bias = sums.bias(); bias != nullptr && n > 0)
          AttentionSums::add_row(*bias, sum_of(*bias, t), at.b, at.h, at.i + r, at.j + first, n, d_s);
        if (s.soft_cap > 0) s.simd.multiply(d_s, w.slope, d_s, n);
      }
      if (s.functions.score() != nullptr)
        w.functions.derive(s, range, r0, rows, w.d_scores, [&](const ScoreProgram& program, std::byte* slot) {
          add_captures(t, range, at, r0, rows, program, slot);
        });
      for (std::int64_t r = r0; scale != s.scale && r < r0 + rows; ++r) {
        A* d_s = w.d_scores[r] + range.first[r];
        s.simd.scale(d_s, static_cast<A>(s.scale), d_s, range.last[r] - range.first[r]);
      }
    }
  }

  // Row r: scores become weights, d_p becomes the gradient of the scores times `scale`; dropout between them.
  void row(const BackwardScratch<T>& w, const TileRange& range, const TilePlace& at, std::int64_t r, A factor,
           const Numbers& of_rows, double scale) const {
    const std::int64_t first = range.first[r], n = range.last[r] - first;
    A *p = w.weights[r] + first, *d_s = w.d_scores[r] + first, *p_keep = w.dropped[r];
    if (s.dropout > 0) {
      s.keep(at.b, at.h, at.i + r, at.j + first, n, w.keep);
      s.simd.multiply(d_s, w.keep, d_s, n);
    }
    softmax_grad(w, range, r, 1, factor, of_rows, scale);
    if (s.dropout == 0) return;
    std::fill_n(p_keep, range.columns, A(0));
    s.simd.multiply(p, w.keep, p_keep + first, n);
  }

  void softmax_grad(const BackwardScratch<T>& w, const TileRange& range, std::int64_t r, std::int64_t rows, A factor,
                    const Numbers& of_rows, double scale) const {
    tile_kernels<A>().softmax_grad(
        {w.weights[r], w.weights.stride, rows, range.columns, range.first + r, range.last + r, factor},
        {w.d_scores[r], of_rows.shift + r, of_rows.share + r, of_rows.inner + r, static_cast<A>(scale)});
  }

  A* sum_of(const AttentionSums::Target& target, const BackwardTask<A>& t) const {
    return sums.template sum<A>(target, context, context.workspace(), t.sums);
  }

  // Adds the gradients of what the score modifier captures, from rows [r0, r0 + rows) of a tile.
  void add_captures(const BackwardTask<A>& t, const TileRange& range, const TilePlace& at, std::int64_t r0,
                    std::int64_t rows, const ScoreProgram& program, std::byte* slot) const {
    for (const AttentionSums::Target& target : sums.targets())
      for (const auto& source : target.sources)
        for (std::int64_t r = 0; r < rows; ++r) {
          const std::int64_t first = range.first[r0 + r], n = range.last[r0 + r] - first;
          if (n <= 0) continue;
          const A* d = program.template output<A>(slot, source.output, r) + first;
          A* sum = sum_of(target, t);
          if (source.ids >= 0)
            AttentionSums::add_to_table(sum, d, program.template output<std::int64_t>(slot, source.ids, r) + first, n);
          else AttentionSums::add_row(target, sum, at.b, at.h, at.i + r0 + r, at.j + first, n, d);
        }
  }

  void run(const BackwardTask<A>& t, const BackwardScratch<T>& w) const {
    const KeyLimits limits = s.limits(t.b);
    row_numbers(t, w);
    clear_unseen(t, limits);
    w.functions.begin(s);
    const KeyRange all = limits.keys(0, s.time_q);
    for (std::int64_t j = t.j0; j < t.j1; j += s.k_rows()) {
      const std::int64_t keys = std::min(s.k_rows(), t.j1 - j), columns = std::clamp<std::int64_t>(all.hi - j, 0, keys);
      T* k_out = d_k + ((t.b * s.time_k + j) * s.kv_heads + t.kv) * s.width;
      T* v_out = d_v + ((t.b * s.time_k + j) * s.kv_heads + t.kv) * s.value_width;
      Rows<A> dk = w.d_k, dv = w.d_v;
      if constexpr (!is_narrow<T>) {
        dk = {k_out, s.k_stride()};
        dv = {v_out, s.v_stride()};
      }
      bool fresh = true;
      for (std::int64_t g = 0; g < s.group(); ++g)
        for (std::int64_t i = 0; i < s.time_q; i += s.q_rows()) {
          const KeyRange seen = limits.keys(i, std::min(s.q_rows(), s.time_q - i));
          if (seen.hi <= j || seen.lo >= j + columns || no_pairs(s, t.kv * s.group() + g, i, j)) continue;
          if (fresh && !attention_is_low<T>(s)) pack_keys(t, w, j, columns);
          tile(t, w, limits, g, i, j, columns, dk, dv, !fresh,
               s.functions.blocks() != nullptr || !(j <= seen.lo || j == t.j0));
          fresh = false;
        }
      for (std::int64_t c = fresh ? 0 : columns; c < keys; ++c) {  // nobody sees these
        std::fill_n(dk[c], s.width, A(0));
        std::fill_n(dv[c], s.value_width, A(0));
      }
      for (std::int64_t c = 0; c < keys; ++c) {
        store(dk[c], k_out + c * s.k_stride(), s.width);
        store(dv[c], v_out + c * s.v_stride(), s.value_width);
      }
    }
  }

  A* d_q_row(const BackwardTask<A>& t, std::int64_t h, std::int64_t i) const {
    return t.d_q + ((t.b * s.time_q + i) * s.heads + h) * s.width;
  }

  // Zeros the share of d_q of blocks of queries that see none of the task's keys; of all blocks, where tiles may be
  // skipped.
  void clear_unseen(const BackwardTask<A>& t, const KeyLimits& limits) const {
    for (std::int64_t i = 0; i < s.time_q; i += s.q_rows()) {
      const std::int64_t rows = std::min(s.q_rows(), s.time_q - i);
      const KeyRange seen = limits.keys(i, rows);
      if (s.functions.blocks() == nullptr && std::max(seen.lo, t.j0) < std::min(seen.hi, t.j1)) continue;
      for (std::int64_t h = t.kv * s.group(); h < (t.kv + 1) * s.group(); ++h)
        for (std::int64_t r = i; r < i + rows; ++r) std::fill_n(d_q_row(t, h, r), s.width, A(0));
    }
  }

  void pack_keys(const BackwardTask<A>& t, const BackwardScratch<T>& w, std::int64_t j, std::int64_t columns) const {
    pack_panels(s.k_row(t.b, t.kv, j), s.k_stride(), columns, s.width, w.k_panels, w.buffer);
    pack_panels(s.v_row(t.b, t.kv, j), s.v_stride(), columns, s.value_width, w.v_panels, w.buffer);
    pack_rows(s.k_row(t.b, t.kv, j), s.k_stride(), columns, s.width, w.k);
  }

  // Queries [i, ..) of head g of the group against keys [j, j + columns).
  void tile(const BackwardTask<A>& t, const BackwardScratch<T>& w, const KeyLimits& limits, std::int64_t g,
            std::int64_t i, std::int64_t j, std::int64_t columns, const Rows<A>& dk, const Rows<A>& dv, bool add_keys,
            bool add_queries) const {
    const std::int64_t h = t.kv * s.group() + g, rows = std::min(s.q_rows(), s.time_q - i), at = g * s.time_q + i;
    TileRange range = w.range;
    range.set(limits, i, rows, j, columns);
    const Rows<A> dq{d_q_row(t, h, i), s.q_stride()};
    if constexpr (std::is_same_v<T, bfloat16>) {
      if (attention_is_low<T>(s)) {
        const LowProducts products(range, w.low);
        const LowRows q{s.q_row(t.b, h, i), s.q_stride()}, d_out{d_y + y_at(t.b, h, i), s.y_stride()};
        const LowRows k{s.k_row(t.b, t.kv, j), s.k_stride()}, v{s.v_row(t.b, t.kv, j), s.v_stride()};
        products.scores(q, k, s.width, w.weights);
        products.scores(d_out, v, s.value_width, w.d_scores);
        weights(t, w, range, {t.b, h, i, j}, {w.shift + at, w.share + at, w.inner + at});
        products.round(w.dropped);
        products.from_rows(d_out, s.value_width, dv, add_keys);
        products.round(w.d_scores);
        products.from_rows(q, s.width, dk, add_keys);
        return products.from_columns(k, s.width, dq, add_queries);
      }
    }
    const TileProducts<A> products{range};
    pack_rows(s.q_row(t.b, h, i), s.q_stride(), rows, s.width, w.q);
    pack_rows(d_y + y_at(t.b, h, i), s.y_stride(), rows, s.value_width, w.d_y);
    products.scores(w.q, w.k_panels, s.width, w.weights);
    products.scores(w.d_y, w.v_panels, s.value_width, w.d_scores);
    weights(t, w, range, {t.b, h, i, j}, {w.shift + at, w.share + at, w.inner + at});
    products.from_rows(w.dropped, w.d_y, s.value_width, dv, add_keys);
    products.from_rows(w.d_scores, w.q, s.width, dk, add_keys);
    products.from_columns(w.d_scores, w.k, s.width, dq, add_queries);
  }
};

}  // namespace weft
