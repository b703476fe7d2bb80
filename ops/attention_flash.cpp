#include <weft/ops/attention_flash.h>
#include <weft/ops/attention_tile.h>
#include <weft/runtime/gemm.h>
#include <weft/runtime/parallel.h>

#include <cmath>

namespace weft {
namespace {

// Cuts a slot's workspace into arrays; without a base it counts bytes.
class Carver {
 public:
  explicit Carver(std::byte* base) : base_(base) {}
  template <class A>
  A* take(std::int64_t count) {
    std::byte* at = base_ == nullptr ? nullptr : base_ + bytes_;
    bytes_ += (static_cast<std::size_t>(count) * sizeof(A) + 63) / 64 * 64;
    return reinterpret_cast<A*>(at);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* base_;
  std::size_t bytes_ = 0;
};

template <class A>
void fill_rows(const Rows<A>& x, std::int64_t rows, std::int64_t width, A value) {
  for (std::int64_t r = 0; r < rows; ++r) std::fill_n(x[r], width, value);
}

// c (+)= op(a) op(b) on this thread.
template <class A>
void tile_product(bool trans_a, bool trans_b, std::int64_t m, std::int64_t n, std::int64_t k, const A* a,
                  std::int64_t lda, const A* b, std::int64_t ldb, A* c, std::int64_t ldc, bool add) {
  gemm_tile(Gemm{.trans_a = trans_a, .trans_b = trans_b, .m = m, .n = n, .k = k, .lda = lda, .ldb = ldb, .ldc = ldc,
                 .beta = add ? 1.0 : 0.0},
            a, b, c);
}

// --- forward: y_i = sum_j p_ij keep_ij v_j, p_ij = exp(s_ij - logsumexp_i) -------------------------------------------

template <class T>
struct ForwardScratch {
  using A = Wide<T>;
  A *scores, *keep, *q, *k, *v, *y, *top, *sum;

  ForwardScratch(Carver& carver, const AttentionShape& s) {
    constexpr bool converts = is_narrow<T>;
    const std::int64_t m = s.q_rows(), n = s.k_rows();
    scores = carver.take<A>(m * n);
    keep = carver.take<A>(s.dropout > 0 ? n : 0);
    q = carver.take<A>(converts ? m * s.width : 0);
    k = carver.take<A>(converts ? n * s.width : 0);
    v = carver.take<A>(converts ? n * s.value_width : 0);
    y = carver.take<A>(converts ? m * s.value_width : 0);
    top = carver.take<A>(m);
    sum = carver.take<A>(m);
  }
};

// Row r of a tile, keys [j, j + cols): products in `x` become weights exp(s - top), up to the row's new maximum.
template <class T>
struct ForwardRow {
  using A = Wide<T>;
  const AttentionScores<T>& scores;
  const ForwardScratch<T>& scratch;
  std::int64_t b, h, i0;

  void operator()(std::int64_t r, std::int64_t j, std::int64_t cols, A* x, A* y) const {
    const auto& simd = scores.simd;
    const KeyRange seen = scores.keys(b, i0 + r);
    const std::int64_t first = std::clamp<std::int64_t>(seen.lo - j, 0, cols);
    const std::int64_t last = std::clamp<std::int64_t>(seen.hi - j, first, cols);
    const std::int64_t n = last - first;
    A top = scratch.top[r], factor = 1;
    if (n > 0) {
      factor = scores.to_scores(b, h, i0 + r, j + first, n, x + first, nullptr);
      const A here = factor * simd.max(x + first, n);
      if (!(here <= top)) top = here;
    }
    std::fill_n(x, first, A(0));
    std::fill(x + last, x + cols, A(0));
    if (n == 0 || top == -scores.infinity) {
      std::fill_n(x + first, n, A(0));
      return;
    }
    const A sum = simd.exp_sum(x + first, factor, top, x + first, n);
    if (const A before = scratch.top[r]; before == top || before == -scores.infinity) {
      scratch.sum[r] += sum;
    } else {
      const A shrink = std::exp(before - top);
      scratch.sum[r] = scratch.sum[r] * shrink + sum;
      simd.scale(y, shrink, y, scores.value_width);
    }
    scratch.top[r] = top;
    if (scores.dropout > 0) {
      scores.keep(b, h, i0 + r, j + first, n, scratch.keep);
      simd.multiply(x + first, scratch.keep, x + first, n);
    }
  }
};

template <class T>
void forward_block(const AttentionScores<T>& s, const ForwardScratch<T>& scratch, std::int64_t b, std::int64_t h,
                   std::int64_t i0, T* y_out, Wide<T>* logsumexp) {
  using A = Wide<T>;
  const std::int64_t kv = h / s.group(), rows = std::min(s.q_rows(), s.time_q - i0), block = s.k_rows();
  const auto q = wide_rows(s.q_row(b, h, i0), s.q_stride(), rows, s.width, scratch.q);
  T* y_rows = y_out + ((b * s.time_q + i0) * s.heads + h) * s.value_width;
  Rows<A> y{scratch.y, s.value_width};
  if constexpr (!is_narrow<T>) y = {y_rows, s.y_stride()};
  std::fill_n(scratch.top, rows, -s.infinity);
  std::fill_n(scratch.sum, rows, A(0));

  const ForwardRow<T> row{s, scratch, b, h, i0};
  const KeyRange seen = s.keys(b, i0, rows);
  bool empty = true;
  for (std::int64_t j0 = seen.lo / block * block; j0 < seen.hi; j0 += block) {
    const std::int64_t j = std::max(j0, seen.lo), cols = std::min(j0 + block, seen.hi) - j;
    const auto k = wide_rows(s.k_row(b, kv, j), s.k_stride(), cols, s.width, scratch.k);
    const auto v = wide_rows(s.v_row(b, kv, j), s.v_stride(), cols, s.value_width, scratch.v);
    tile_product<A>(false, true, rows, cols, s.width, q.data, q.stride, k.data, k.stride, scratch.scores, block, false);
    for (std::int64_t r = 0; r < rows; ++r) row(r, j, cols, scratch.scores + r * block, y[r]);
    tile_product<A>(false, false, rows, s.value_width, cols, scratch.scores, block, v.data, v.stride, y.data, y.stride,
                 !empty);
    empty = false;
  }
  if (empty) fill_rows(y, rows, s.value_width, A(0));

  for (std::int64_t r = 0; r < rows; ++r) {
    const A sum = scratch.sum[r];
    logsumexp[s.row_index(b, h, i0 + r)] = scratch.top[r] + std::log(sum);
    if (sum != 0) s.simd.scale(y[r], 1 / sum, y[r], s.value_width);
    if constexpr (is_narrow<T>) store(y[r], y_rows + r * s.y_stride(), s.value_width);
  }
}

template <class T>
std::size_t forward_workspace(const OpView& view, int threads) {
  Carver carver(nullptr);
  ForwardScratch<T>(carver, AttentionShape(view));
  return carver.bytes() * static_cast<std::size_t>(threads);
}

template <class T>
void forward(KernelContext& context) {
  const AttentionScores<T> s(context);
  Carver count(nullptr);
  ForwardScratch<T>(count, s);
  T* y = context.out<T>(0);
  auto* logsumexp = context.out<Wide<T>>(1);
  const std::int64_t blocks = s.q_blocks();
  parallel_for(s.batch * s.heads * blocks, [&](std::int64_t task, int slot) {
    Carver carver(context.workspace() + count.bytes() * static_cast<std::size_t>(slot));
    const std::int64_t h = task / blocks % s.heads, b = task / blocks / s.heads;
    forward_block(s, ForwardScratch<T>(carver, s), b, h, task % blocks * s.q_rows(), y, logsumexp);
  });
}

// --- backward --------------------------------------------------------------------------------------------------------
// d_p = (d_y v^T) keep;  d_s = p (d_p - inner), inner = <d_y, y> - d_logsumexp
// d_v = (p keep)^T d_y;  d_q = scale d_s k;  d_k = scale d_s^T q

// A task: queries [i0, i1) of heads [h0, h1) against keys [j0, j1) of one kv head, and which gradients it owns.
struct BackwardTask {
  std::int64_t b, h0, h1, i0, i1, j0, j1;
  bool queries, keys;
};

template <class T>
struct BackwardScratch {
  using A = Wide<T>;
  A *weights, *d_scores, *dropped, *keep, *slope, *inner, *q, *k, *v, *y, *d_y, *d_q, *d_k, *d_v;

  BackwardScratch(Carver& carver, const AttentionShape& s, bool whole) {
    constexpr bool converts = is_narrow<T>;
    const std::int64_t m = s.q_rows(), n = s.k_rows();
    weights = carver.take<A>(m * n);
    d_scores = carver.take<A>(m * n);
    dropped = carver.take<A>(s.dropout > 0 ? m * n : 0);
    keep = carver.take<A>(s.dropout > 0 ? n : 0);
    slope = carver.take<A>(s.soft_cap > 0 ? n : 0);
    inner = carver.take<A>(s.group() * s.time_q);
    q = carver.take<A>(converts ? m * s.width : 0);
    k = carver.take<A>(converts ? n * s.width : 0);
    v = carver.take<A>(converts ? n * s.value_width : 0);
    y = carver.take<A>(converts ? s.value_width : 0);
    d_y = carver.take<A>(converts ? m * s.value_width : 0);
    d_q = carver.take<A>(converts ? (whole ? s.group() * s.time_q : m) * s.width : 0);
    d_k = carver.take<A>(converts ? (whole ? s.time_k : n) * s.width : 0);
    d_v = carver.take<A>(converts ? (whole ? s.time_k : n) * s.value_width : 0);
  }
};

// One task for each (example, kv head) does five products a tile; where there are few of those, two passes of smaller
// tasks do seven.
bool whole_heads(const AttentionShape& s) { return s.batch * s.kv_heads >= 8 || s.q_blocks() * s.k_blocks() == 1; }

// One number for each row, in T or in the type T is computed in.
template <class T>
class RowScalars {
 public:
  RowScalars(KernelContext& context, int operand) {
    if (!context.has(operand)) return;
    if (context.type(operand).dtype == dtype_of<T>) narrow_ = context.in<T>(operand);
    else wide_ = context.in<Wide<T>>(operand);
  }
  explicit operator bool() const { return narrow_ != nullptr || wide_ != nullptr; }
  Wide<T> operator[](std::int64_t row) const {
    return narrow_ != nullptr ? static_cast<Wide<T>>(narrow_[row]) : wide_[row];
  }

 private:
  const T* narrow_ = nullptr;
  const Wide<T>* wide_ = nullptr;
};

template <class T>
struct BackwardRun {
  using A = Wide<T>;
  const AttentionScores<T> s;
  const T *y, *d_y;
  const RowScalars<T> logsumexp, d_logsumexp;
  T *d_q, *d_k, *d_v;

  explicit BackwardRun(KernelContext& context)
      : s(context),
        y(context.in<T>(AttentionIn::y)),
        d_y(context.in<T>(AttentionIn::d_y)),
        logsumexp(context, AttentionIn::logsumexp),
        d_logsumexp(context, AttentionIn::d_logsumexp),
        d_q(context.out<T>(0)),
        d_k(context.out<T>(1)),
        d_v(context.out<T>(2)) {}

  std::int64_t y_at(std::int64_t b, std::int64_t h, std::int64_t i) const {
    return ((b * s.time_q + i) * s.heads + h) * s.value_width;
  }

  // inner_i of the task's queries, head by head.
  void inner_products(const BackwardTask& t, const BackwardScratch<T>& w) const {
    A* inner = w.inner;
    for (std::int64_t h = t.h0; h < t.h1; ++h)
      for (std::int64_t i = t.i0; i < t.i1; ++i, ++inner) {
        const std::int64_t at = y_at(t.b, h, i);
        *inner = s.simd.dot(widened(y + at, w.y, s.value_width), widened(d_y + at, w.d_y, s.value_width),
                            s.value_width);
        if (d_logsumexp) *inner -= d_logsumexp[s.row_index(t.b, h, i)];
      }
  }

  // Products in weights[r] and d_y v^T in d_scores[r] become p keep (in `dropped`) and d_s times the scale.
  void row(const BackwardScratch<T>& w, A inner, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t r,
           std::int64_t j, std::int64_t cols) const {
    const std::int64_t at = r * s.k_rows();
    A *p = w.weights + at, *d_s = w.d_scores + at, *p_keep = s.dropout > 0 ? w.dropped + at : p;
    const KeyRange seen = s.keys(b, i);
    const A shift = logsumexp[s.row_index(b, h, i)];
    std::int64_t first = std::clamp<std::int64_t>(seen.lo - j, 0, cols);
    std::int64_t last = std::clamp<std::int64_t>(seen.hi - j, first, cols);
    if (shift == -s.infinity) first = last = cols;
    const std::int64_t n = last - first;
    for (A* x : {d_s, p_keep}) {
      std::fill_n(x, first, A(0));
      std::fill(x + last, x + cols, A(0));
    }
    if (n == 0) return;
    const A factor = s.to_scores(b, h, i, j + first, n, p + first, w.slope);
    s.simd.exp_sum(p + first, factor, shift, p + first, n);
    if (s.dropout > 0) {
      s.keep(b, h, i, j + first, n, w.keep);
      s.simd.multiply(p + first, w.keep, p_keep + first, n);
      s.simd.multiply(d_s + first, w.keep, d_s + first, n);
    }
    s.simd.softmax_grad(p + first, d_s + first, inner, static_cast<A>(s.scale), d_s + first, n);
    if (s.soft_cap > 0) s.simd.multiply(d_s + first, w.slope, d_s + first, n);
  }

  void run(const BackwardTask& t, const BackwardScratch<T>& w) const {
    const std::int64_t kv = t.h0 / s.group(), block = s.k_rows();
    T* d_q_out = d_q + ((t.b * s.time_q + t.i0) * s.heads + t.h0) * s.width;
    T* d_k_out = d_k + ((t.b * s.time_k + t.j0) * s.kv_heads + kv) * s.width;
    T* d_v_out = d_v + ((t.b * s.time_k + t.j0) * s.kv_heads + kv) * s.value_width;
    // The accumulators: row i of head h at dq[i - i0] + (h - h0) dq_head.
    Rows<A> dq{w.d_q, s.width}, dk{w.d_k, s.width}, dv{w.d_v, s.value_width};
    std::int64_t dq_head = (t.i1 - t.i0) * s.width;
    if constexpr (!is_narrow<T>) {
      dq = {d_q_out, s.q_stride()};
      dk = {d_k_out, s.k_stride()};
      dv = {d_v_out, s.v_stride()};
      dq_head = s.width;
    }
    if (t.queries)
      for (std::int64_t h = t.h0; h < t.h1; ++h)
        fill_rows(Rows<A>{dq.data + (h - t.h0) * dq_head, dq.stride}, t.i1 - t.i0, s.width, A(0));
    if (t.keys) {
      fill_rows(dk, t.j1 - t.j0, s.width, A(0));
      fill_rows(dv, t.j1 - t.j0, s.value_width, A(0));
    }

    inner_products(t, w);
    for (std::int64_t j0 = t.j0; j0 < t.j1; j0 += block)
      for (std::int64_t h = t.h0; h < t.h1; ++h)
        for (std::int64_t i = t.i0; i < t.i1; i += s.q_rows()) {
          const std::int64_t rows = std::min(s.q_rows(), t.i1 - i);
          const KeyRange seen = s.keys(t.b, i, rows);
          const std::int64_t j = std::max(j0, seen.lo), cols = std::min({j0 + block, t.j1, seen.hi}) - j;
          if (cols <= 0) continue;
          const auto q = wide_rows(s.q_row(t.b, h, i), s.q_stride(), rows, s.width, w.q);
          const auto k = wide_rows(s.k_row(t.b, kv, j), s.k_stride(), cols, s.width, w.k);
          const auto v = wide_rows(s.v_row(t.b, kv, j), s.v_stride(), cols, s.value_width, w.v);
          const auto dy = wide_rows(d_y + y_at(t.b, h, i), s.y_stride(), rows, s.value_width, w.d_y);
          const A* inner = w.inner + (h - t.h0) * (t.i1 - t.i0) + i - t.i0;
          tile_product<A>(false, true, rows, cols, s.width, q.data, q.stride, k.data, k.stride, w.weights, block, false);
          tile_product<A>(false, true, rows, cols, s.value_width, dy.data, dy.stride, v.data, v.stride, w.d_scores,
                       block, false);
          for (std::int64_t r = 0; r < rows; ++r) row(w, inner[r], t.b, h, i + r, r, j, cols);
          if (t.keys) {
            tile_product<A>(true, false, cols, s.value_width, rows, s.dropout > 0 ? w.dropped : w.weights, block,
                         dy.data, dy.stride, dv[j - t.j0], dv.stride, true);
            tile_product<A>(true, false, cols, s.width, rows, w.d_scores, block, q.data, q.stride, dk[j - t.j0],
                         dk.stride, true);
          }
          if (t.queries)
            tile_product<A>(false, false, rows, s.width, cols, w.d_scores, block, k.data, k.stride,
                         dq[i - t.i0] + (h - t.h0) * dq_head, dq.stride, true);
        }

    if constexpr (is_narrow<T>) {
      if (t.queries)
        for (std::int64_t h = 0; h < t.h1 - t.h0; ++h)
          for (std::int64_t i = 0; i < t.i1 - t.i0; ++i)
            store(dq[i] + h * dq_head, d_q_out + i * s.q_stride() + h * s.width, s.width);
      for (std::int64_t j = 0; t.keys && j < t.j1 - t.j0; ++j) {
        store(dk[j], d_k_out + j * s.k_stride(), s.width);
        store(dv[j], d_v_out + j * s.v_stride(), s.value_width);
      }
    }
  }
};

template <class T>
std::size_t backward_workspace(const OpView& view, int threads) {
  const AttentionShape s(view);
  Carver carver(nullptr);
  BackwardScratch<T>(carver, s, whole_heads(s));
  return carver.bytes() * static_cast<std::size_t>(threads);
}

template <class T>
void backward(KernelContext& context) {
  const BackwardRun<T> run(context);
  const AttentionShape& s = run.s;
  if (s.time_q == 0 || s.time_k == 0 || s.batch * s.heads == 0) {  // nobody attends to anything
    for (int k = 0; k < 3; ++k) std::fill_n(context.out<T>(k), context.out_type(k).count(), T(0));
    return;
  }
  const std::size_t bytes = backward_workspace<T>(context.view(), 1);
  const bool whole = whole_heads(s);
  const auto each = [&](std::int64_t tasks, auto&& task_of) {
    parallel_for(tasks, [&](std::int64_t task, int slot) {
      Carver carver(context.workspace() + bytes * static_cast<std::size_t>(slot));
      run.run(task_of(task), BackwardScratch<T>(carver, s, whole));
    });
  };
  const auto keys_task = [&](std::int64_t task, std::int64_t blocks, std::int64_t rows) {
    const std::int64_t kv = task / blocks % s.kv_heads, j = task % blocks * rows;
    return BackwardTask{.b = task / blocks / s.kv_heads, .h0 = kv * s.group(), .h1 = (kv + 1) * s.group(),
                        .i0 = 0, .i1 = s.time_q, .j0 = j, .j1 = std::min(j + rows, s.time_k),
                        .queries = whole, .keys = true};
  };
  if (whole) {
    each(s.batch * s.kv_heads, [&](std::int64_t task) { return keys_task(task, 1, s.time_k); });
    return;
  }
  each(s.batch * s.kv_heads * s.k_blocks(), [&](std::int64_t task) { return keys_task(task, s.k_blocks(), s.k_rows()); });
  each(s.batch * s.heads * s.q_blocks(), [&](std::int64_t task) {
    const std::int64_t blocks = s.q_blocks(), h = task / blocks % s.heads, i = task % blocks * s.q_rows();
    return BackwardTask{.b = task / blocks / s.heads, .h0 = h, .h1 = h + 1,
                        .i0 = i, .i1 = std::min(i + s.q_rows(), s.time_q), .j0 = 0, .j1 = s.time_k,
                        .queries = true, .keys = false};
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

std::vector<Kernel> attention_kernels() {
  return {forward_kernel<float>(), forward_kernel<double>(), forward_kernel<bfloat16>(), forward_kernel<float16>()};
}
std::vector<Kernel> attention_backward_kernels() {
  return {backward_kernel<float>(), backward_kernel<double>(), backward_kernel<bfloat16>(), backward_kernel<float16>()};
}

}  // namespace weft
