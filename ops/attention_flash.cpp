#include <weft/ops/attention_blocks.h>
#include <weft/ops/attention_flash.h>
#include <weft/ops/attention_low.h>
#include <weft/runtime/gemm.h>
#include <weft/runtime/parallel.h>

#include <cmath>

namespace weft {
namespace {

// --- forward: y_i = sum_j p_ij keep_ij v_j, p_ij = exp(s_ij - logsumexp_i) -------------------------------------------

template <class T>
struct ForwardScratch {
  using A = Wide<T>;
  Rows<A> x, q, v, y;
  A *k, *buffer, *keep;
  TileSoftmax<A> rows;
  TileRange range;
  LowScratch low;

  ForwardScratch(Carver& carver, const AttentionShape& s)
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
        low(carver, s, attention_is_low<T>()) {}

  static constexpr std::int64_t vector = 64 / sizeof(A);  // the longest
  static Rows<A> take(Carver& carver, std::int64_t rows, std::int64_t width) {
    const std::int64_t stride = padded<A>(width);
    return {carver.take<A>(rows * stride), stride};
  }
};

// Queries [i0, i0 + count) of one head: a block of keys is packed, then goes past the blocks of queries.
template <class T>
struct ForwardTask {
  using A = Wide<T>;
  const AttentionScores<T>& s;
  const ForwardScratch<T>& w;
  std::int64_t b, h, i0, count;

  // So few queries that packing would take longer than the products.
  bool direct() const { return s.time_q < 4; }
  bool low() const { return !direct() && attention_is_low<T>(); }

  void run(T* y_out, A* logsumexp) const {
    const std::int64_t kv = h / s.group(), block = s.k_rows();
    const KeyLimits limits = s.limits(b);
    const KeyRange seen = limits.keys(i0, count);
    const std::int64_t start = seen.lo / block * block;
    if (!low()) pack_rows(s.q_row(b, h, i0), s.q_stride(), count, s.width, w.q);
    std::fill_n(w.rows.top, count, -s.infinity);
    std::fill_n(w.rows.sum, count, A(0));
    for (std::int64_t j = start; j < seen.hi; j += block) {
      const std::int64_t columns = std::min(block, seen.hi - j);
      if (!direct() && !low()) {
        pack_panels(s.k_row(b, kv, j), s.k_stride(), columns, s.width, w.k, w.buffer);
        pack_rows(s.v_row(b, kv, j), s.v_stride(), columns, s.value_width, w.v);
      }
      for (std::int64_t i = 0; i < count; i += s.q_rows()) {
        const std::int64_t rows = std::min(s.q_rows(), count - i);
        const KeyRange here = limits.keys(i0 + i, rows);
        if (here.hi <= j || here.lo >= j + columns) continue;
        TileRange range = w.range;
        range.set(limits, i0 + i, rows, j, columns);
        tile(range, i, j, j <= here.lo || j == start);
      }
    }
    finish(y_out, logsumexp);
  }

  // The tile of queries i0 + [i, ..) and keys [j, ..); `fresh`: the first that these queries see.
  void tile(const TileRange& range, std::int64_t i, std::int64_t j, bool fresh) const {
    const TileProducts<A> products{range};
    const Rows<A> y{w.y[i], w.y.stride};
    if (direct())
      direct_scores(range, i, j);
    else if (low())
      low_scores(range, i, j);
    else
      products.scores({w.q[i], w.q.stride}, w.k, s.width, w.x);
    const A factor = each_row(range, [&](std::int64_t r, std::int64_t first, std::int64_t n) {
      return s.to_scores(b, h, i0 + i + r, j + first, n, w.x[r] + first, nullptr);
    });
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
    if (direct())
      direct_sums(range, i, j, !fresh);
    else if (low())
      low_sums(range, j, y, !fresh);
    else
      products.from_columns(w.x, w.v, rounded_up(s.value_width, products.tile.panel), y, !fresh);
  }

  // f of the seen part of each row, where scores are more than scaled products; gives the factor that is left.
  template <class F>
  A each_row(const TileRange& range, F&& f) const {
    A factor = static_cast<A>(s.scale);
    for (std::int64_t r = 0; s.shaped() && r < range.rows; ++r)
      factor = f(r, std::int64_t{range.first[r]}, std::int64_t{range.last[r] - range.first[r]});
    return factor;
  }

  void low_scores([[maybe_unused]] const TileRange& range, [[maybe_unused]] std::int64_t i,
                  [[maybe_unused]] std::int64_t j) const {
    if constexpr (std::is_same_v<T, bfloat16>)
      LowProducts(range, w.low).scores({s.q_row(b, h, i0 + i), s.q_stride()},
                                       {s.k_row(b, h / s.group(), j), s.k_stride()}, s.width, w.x);
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

  void finish(T* y_out, A* logsumexp) const {
    A* log_sums = logsumexp + s.row_index(b, h, i0);
    s.simd.log(w.rows.sum, log_sums, count);
    s.simd.add(log_sums, w.rows.top, log_sums, count);
    y_out += ((b * s.time_q + i0) * s.heads + h) * s.value_width;
    for (std::int64_t r = 0; r < count; ++r, y_out += s.y_stride()) {
      const A sum = w.rows.sum[r];
      A* y = wide_target(y_out, w.y[r]);
      if (sum != 0)
        s.simd.scale(w.y[r], 1 / sum, y, s.value_width);
      else
        std::fill_n(y, s.value_width, A(0));  // no key was seen
      store(y, y_out, s.value_width);
    }
  }
};

template <class T>
std::size_t forward_workspace(const OpView& view, int threads) {
  Carver carver(nullptr);
  ForwardScratch<T>(carver, AttentionShape(view));
  return carver.bytes() * static_cast<std::size_t>(threads);
}

template <class T>
void forward(KernelContext& context) {
  const AttentionScores<T> s(context);
  T* y = context.out<T>(0);
  auto* logsumexp = context.out<Wide<T>>(1);
  const std::size_t bytes = forward_workspace<T>(context.view(), 1);
  const std::int64_t chunk = s.q_chunk(), chunks = (s.time_q + chunk - 1) / chunk;
  parallel_for(s.batch * s.heads * chunks, [&](std::int64_t task, int slot) {
    Carver carver(context.workspace() + bytes * static_cast<std::size_t>(slot));
    const ForwardScratch<T> scratch(carver, s);
    const std::int64_t i = task % chunks * chunk;
    ForwardTask<T>{s, scratch, task / chunks / s.heads, task / chunks % s.heads, i, std::min(chunk, s.time_q - i)}.run(
        y, logsumexp);
  });
}

// --- backward --------------------------------------------------------------------------------------------------------
// d_p = (d_y v^T) keep;  d_s = p (d_p - inner), inner = <d_y, y> - d_logsumexp
// d_v = (p keep)^T d_y;  d_q = scale d_s k;  d_k = scale d_s^T q

// Keys [j0, j1) of one kv head against the queries of its heads: d_k and d_v, and these keys' share of d_q.
template <class A>
struct BackwardTask {
  std::int64_t b, kv, j0, j1;
  A* d_q;  ///< [batch, time_q, heads, width]
};

template <class T>
struct BackwardScratch {
  using A = Wide<T>;
  Rows<A> weights, d_scores, dropped, q, d_y, k, d_k, d_v;
  A *k_panels, *v_panels, *buffer, *keep, *slope, *inner, *shift;
  TileRange range;
  LowScratch low;

  BackwardScratch(Carver& carver, const AttentionShape& s)
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
        range(carver, s.q_rows()),
        low(carver, s, attention_is_low<T>()) {}

  static Rows<A> take(Carver& carver, std::int64_t rows, std::int64_t width) {
    return ForwardScratch<T>::take(carver, rows, width);
  }
};

template <class T>
struct BackwardRun {
  using A = Wide<T>;
  const AttentionScores<T> s;
  const T *y, *d_y;
  const RowScalars<T> logsumexp, d_logsumexp;
  T *d_k, *d_v;

  explicit BackwardRun(KernelContext& context)
      : s(context),
        y(context.in<T>(AttentionIn::y)),
        d_y(context.in<T>(AttentionIn::d_y)),
        logsumexp(context, AttentionIn::logsumexp),
        d_logsumexp(context, AttentionIn::d_logsumexp),
        d_k(context.out<T>(1)),
        d_v(context.out<T>(2)) {}

  std::int64_t y_at(std::int64_t b, std::int64_t h, std::int64_t i) const {
    return ((b * s.time_q + i) * s.heads + h) * s.value_width;
  }

  // inner_i and the logsumexp of each query, head by head; exp(s - inf) = 0 for queries without keys.
  void row_numbers(const BackwardTask<A>& t, const BackwardScratch<T>& w) const {
    for (std::int64_t g = 0; g < s.group(); ++g) {
      const std::int64_t h = t.kv * s.group() + g, at = y_at(t.b, h, 0), row = s.row_index(t.b, h, 0);
      A *inner = w.inner + g * s.time_q, *shift = w.shift + g * s.time_q;
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
        shift[i] = logsumexp[row + i] == -s.infinity ? s.infinity : logsumexp[row + i];
      }
    }
  }

  // Products in `weights` and d_y v^T in `d_scores` become p keep (in `dropped`) and d_s times the scale.
  void weights(const BackwardScratch<T>& w, const TileRange& range, const A* shift, const A* inner, std::int64_t b,
               std::int64_t h, std::int64_t i, std::int64_t j) const {
    const auto softmax_grad = [&](std::int64_t r, std::int64_t rows, A factor) {
      tile_kernels<A>().softmax_grad(
          {w.weights[r], w.weights.stride, rows, range.columns, range.first + r, range.last + r, factor}, shift + r,
          w.d_scores[r], inner + r, static_cast<A>(s.scale));
    };
    if (!s.shaped() && s.dropout == 0) return softmax_grad(0, range.rows, static_cast<A>(s.scale));
    for (std::int64_t r = 0; r < range.rows; ++r) {
      const std::int64_t first = range.first[r], n = range.last[r] - first;
      A *p = w.weights[r] + first, *d_s = w.d_scores[r] + first, *p_keep = w.dropped[r];
      const A factor = s.to_scores(b, h, i + r, j + first, n, p, w.slope);
      if (s.dropout > 0) {
        s.keep(b, h, i + r, j + first, n, w.keep);
        s.simd.multiply(d_s, w.keep, d_s, n);
      }
      softmax_grad(r, 1, factor);
      if (s.dropout > 0) {
        std::fill_n(p_keep, range.columns, A(0));
        s.simd.multiply(p, w.keep, p_keep + first, n);
      }
      if (s.soft_cap > 0) s.simd.multiply(d_s, w.slope, d_s, n);
    }
  }

  void run(const BackwardTask<A>& t, const BackwardScratch<T>& w) const {
    const KeyLimits limits = s.limits(t.b);
    row_numbers(t, w);
    clear_unseen(t, limits);
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
          if (seen.hi <= j || seen.lo >= j + columns) continue;
          if (fresh && !attention_is_low<T>()) pack_keys(t, w, j, columns);
          tile(t, w, limits, g, i, j, columns, dk, dv, !fresh, !(j <= seen.lo || j == t.j0));
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

  // Zero shares of d_q for blocks of queries that see none of the task's keys.
  void clear_unseen(const BackwardTask<A>& t, const KeyLimits& limits) const {
    for (std::int64_t i = 0; i < s.time_q; i += s.q_rows()) {
      const std::int64_t rows = std::min(s.q_rows(), s.time_q - i);
      const KeyRange seen = limits.keys(i, rows);
      if (std::max(seen.lo, t.j0) < std::min(seen.hi, t.j1)) continue;
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
      if (attention_is_low<T>()) {
        const LowProducts products(range, w.low);
        const LowRows q{s.q_row(t.b, h, i), s.q_stride()}, d_out{d_y + y_at(t.b, h, i), s.y_stride()};
        const LowRows k{s.k_row(t.b, t.kv, j), s.k_stride()}, v{s.v_row(t.b, t.kv, j), s.v_stride()};
        products.scores(q, k, s.width, w.weights);
        products.scores(d_out, v, s.value_width, w.d_scores);
        weights(w, range, w.shift + at, w.inner + at, t.b, h, i, j);
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
    weights(w, range, w.shift + at, w.inner + at, t.b, h, i, j);
    products.from_rows(w.dropped, w.d_y, s.value_width, dv, add_keys);
    products.from_rows(w.d_scores, w.q, s.width, dk, add_keys);
    products.from_columns(w.d_scores, w.k, s.width, dq, add_queries);
  }
};

// Wide buffers of d_q beside the output: one for each chunk of keys, the first of which may be the output itself.
template <class T>
std::int64_t d_q_buffers(const AttentionShape& s) {
  return s.k_chunks() - (is_narrow<T> ? 0 : 1);
}

template <class T>
std::size_t d_q_bytes(const AttentionShape& s) {
  const std::int64_t count = d_q_buffers<T>(s) * s.batch * s.time_q * s.heads * s.width;
  return (static_cast<std::size_t>(count) * sizeof(Wide<T>) + 63) / 64 * 64;
}

template <class T>
std::size_t backward_scratch(const AttentionShape& s) {
  Carver carver(nullptr);
  BackwardScratch<T>(carver, s);
  return carver.bytes();
}

template <class T>
std::size_t backward_workspace(const OpView& view, int threads) {
  const AttentionShape s(view);
  return d_q_bytes<T>(s) + backward_scratch<T>(s) * static_cast<std::size_t>(threads);
}

template <class T>
void backward(KernelContext& context) {
  using A = Wide<T>;
  const BackwardRun<T> run(context);
  const AttentionShape& s = run.s;
  if (s.time_q == 0 || s.time_k == 0 || s.batch * s.heads == 0) {  // nobody attends to anything
    for (int k = 0; k < 3; ++k) std::fill_n(context.out<T>(k), context.out_type(k).count(), T(0));
    return;
  }
  T* const d_q = context.out<T>(0);
  const std::int64_t chunk = s.k_chunk(), chunks = s.k_chunks(), count = s.batch * s.time_q * s.heads * s.width;
  const auto share = [&](std::int64_t c) -> A* {
    if constexpr (!is_narrow<T>)
      if (c-- == 0) return d_q;
    return reinterpret_cast<A*>(context.workspace()) + c * count;
  };
  const std::size_t bytes = backward_scratch<T>(s);
  parallel_for(s.batch * s.kv_heads * chunks, [&](std::int64_t task, int slot) {
    Carver carver(context.workspace() + d_q_bytes<T>(s) + bytes * static_cast<std::size_t>(slot));
    const std::int64_t c = task % chunks, head = task / chunks;
    run.run({.b = head / s.kv_heads,
             .kv = head % s.kv_heads,
             .j0 = c * chunk,
             .j1 = std::min((c + 1) * chunk, s.time_k),
             .d_q = share(c)},
            BackwardScratch<T>(carver, s));
  });
  if (d_q_buffers<T>(s) == 0) return;
  for_row_tiles(count, 1, [&](std::int64_t begin, std::int64_t end, int) {
    A* sum = share(0) + begin;
    for (std::int64_t c = 1; c < chunks; ++c) simd<A>().add(sum, share(c) + begin, sum, end - begin);
    store(sum, d_q + begin, end - begin);
  });
}

template <class T>
Kernel forward_kernel() {
  return {.dtype = dtype_of<T>, .run = forward<T>, .workspace = forward_workspace<T>};
}
template <class T>
Kernel backward_kernel() {
  return {.dtype = dtype_of<T>, .run = backward<T>, .workspace = backward_workspace<T>};
}

}  // namespace

bool& attention_low_for_tests() {
  static bool low = false;
  return low;
}

std::vector<Kernel> attention_kernels() {
  return {forward_kernel<float>(), forward_kernel<double>(), forward_kernel<bfloat16>(), forward_kernel<float16>()};
}
std::vector<Kernel> attention_backward_kernels() {
  return {backward_kernel<float>(), backward_kernel<double>(), backward_kernel<bfloat16>(), backward_kernel<float16>()};
}

}  // namespace weft
