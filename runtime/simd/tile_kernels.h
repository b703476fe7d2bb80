// The functions of tile.h over the vectors of the including file's instruction set. For the per-instruction-set files
// only.
#pragma once

#include <weft/runtime/simd/span_kernels.h>
#include <weft/runtime/simd/tile.h>

#include <utility>

namespace weft {
namespace {

// exp(x), relative error 2e-7 + 3e-8 |x|; below -87.7 it is 0, above 88.4 inf, and `bounded` says that it is never
// above. x / ln 2 = n + f: its rounding by a large number leaves n + 127, the exponent's bits, in the lowest bits, and
// f is exact but for that of 1 / ln 2. 2^f = 1 + f q(f), q fitted to 9e-8.
template <bool bounded = false>
inline Vec<float> v_exp_fast(Vec<float> x) {
  using V = Vec<float>;
  const V large(12582912.0F + 127.0F), per_ln2(1.44269504F);
  if constexpr (!bounded) x = xsimd::min(V(88.7F), x);  // the second operand passes NaN on
  x = xsimd::max(V(-88.0F), x);
  const V shifted = v_fma(x, per_ln2, large);
  const V f = v_fma(x, per_ln2, large - shifted);
  V q(0.0013264646F);
  for (const float c : {0.009671576F, 0.055507347F, 0.24022241F, 0.693147F, 1.0F}) q = v_fma(q, f, V(c));
  return q * v_bits<float>(v_bits<std::int32_t>(shifted) << 23);
}
template <bool bounded = false>
inline Vec<double> v_exp_fast(Vec<double> x) {
  return v_exp<double>(x);
}

template <class T>
struct Tile {
  using V = Vec<T>;
  using N = std::int64_t;
  static constexpr N w = width<T>;
  static constexpr N panel = 2 * w;
#if defined(__AVX512F__)
  static constexpr N panel_rows = 12;
#else
  static constexpr N panel_rows = 6;
#endif

  // --- products: M rows of c and one panel stay in registers ---------------------------------------------------------

  template <N M, bool trans>
  static void block(N k, const T* a, N lda, const T* b, N ldb, T* c, N ldc, N columns, bool add) {
    V low[M], high[M];
    for (N i = 0; i < M; ++i) {
      low[i] = high[i] = V(T(0));
      __builtin_prefetch(c + i * ldc, 1);
    }
    for (N l = 0; l < k; ++l) {
      const V b0 = load(b), b1 = load(b + w);
#pragma GCC unroll 12
      for (N i = 0; i < M; ++i) {
        const V x(trans ? a[i] : a[i * lda]);
        low[i] = v_fma(x, b0, low[i]);
        high[i] = v_fma(x, b1, high[i]);
      }
      a += trans ? lda : 1;
      b += ldb;
    }
#pragma GCC unroll 12
    for (N i = 0; i < M; ++i, c += ldc) {
      if (columns >= panel) {
        (add ? load(c) + low[i] : low[i]).store_unaligned(c);
        (add ? load(c + w) + high[i] : high[i]).store_unaligned(c + w);
      } else {
        const N first = columns < w ? columns : w, rest = columns - first;
        store_part(add ? load_part(c, first) + low[i] : low[i], c, first);
        if (rest > 0) store_part(add ? load_part(c + w, rest) + high[i] : high[i], c + w, rest);
      }
    }
  }

  using Block = void (*)(N, const T*, N, const T*, N, T*, N, N, bool);
  template <bool trans, N... M>
  static constexpr auto blocks(std::integer_sequence<N, M...>) {
    struct Table {
      Block of_rows[panel_rows];
    };
    return Table{{&block<M + 1, trans>...}};
  }

  template <bool trans>
  static void product(const TileProduct<T>& p) {
    static constexpr auto table = blocks<trans>(std::make_integer_sequence<N, panel_rows>());
    const T* b = p.b;
    for (N j = 0; j < p.n; j += panel, b += p.panel_stride)
      for (N i = 0; i < p.m; i += panel_rows) {
        const N rows = p.m - i < panel_rows ? p.m - i : panel_rows;
        table.of_rows[rows - 1](p.k, trans ? p.a + i : p.a + i * p.lda, p.lda, b, p.ldb, p.c + i * p.ldc + j, p.ldc,
                                p.n - j, p.add);
      }
  }

  // --- packing -------------------------------------------------------------------------------------------------------

  static void pack(const T* x, N ld_x, N rows, N columns, T* y, N ld_y) {
    const N whole = (columns + panel - 1) / panel * panel;
    for (N r = 0; r < rows; ++r, x += ld_x, y += ld_y) {
      N i = 0;
      for (; i + w <= columns; i += w) load(x + i).store_unaligned(y + i);
      if (i < columns) {
        load_part(x + i, columns - i).store_unaligned(y + i);
        i += w;
      }
      for (; i < whole; i += w) V(T(0)).store_unaligned(y + i);
    }
  }

#if defined(__AVX__)
  // y[c 2w + r] = x[r ld_x + c] for 8 rows and 8 columns.
  static void transpose_8x8(const float* x, N ld_x, float* y, N ld_y) {
    __m256 a[8], b[8];
    for (int r = 0; r < 8; ++r) a[r] = _mm256_loadu_ps(x + r * ld_x);
    for (int r = 0; r < 8; r += 2) {
      b[r] = _mm256_unpacklo_ps(a[r], a[r + 1]);
      b[r + 1] = _mm256_unpackhi_ps(a[r], a[r + 1]);
    }
    for (int r = 0; r < 8; r += 4)
      for (int h = 0; h < 2; ++h) {
        a[r + 2 * h] = _mm256_shuffle_ps(b[r + h], b[r + h + 2], 0x44);
        a[r + 2 * h + 1] = _mm256_shuffle_ps(b[r + h], b[r + h + 2], 0xEE);
      }
    for (int c = 0; c < 4; ++c) {
      _mm256_storeu_ps(y + c * ld_y, _mm256_permute2f128_ps(a[c], a[c + 4], 0x20));
      _mm256_storeu_ps(y + (c + 4) * ld_y, _mm256_permute2f128_ps(a[c], a[c + 4], 0x31));
    }
  }
#endif

  static void pack_transposed(const T* x, N ld_x, N rows, N columns, T* y) {
    for (N r = 0; r < rows; r += panel, x += panel * ld_x, y += panel * columns) {
      const N count = rows - r < panel ? rows - r : panel;
      N done = 0;
#if defined(__AVX__)
      if constexpr (sizeof(T) == 4) {
        if (count == panel)
          for (; done + 8 <= columns; done += 8)
            for (N part = 0; part < panel; part += 8)
              transpose_8x8(x + part * ld_x + done, ld_x, y + done * panel + part, panel);
      }
#endif
      for (N c = done; c < columns; ++c) {
        for (N i = 0; i < count; ++i) y[c * panel + i] = x[i * ld_x + c];
        for (N i = count; i < panel; ++i) y[c * panel + i] = T(0);
      }
    }
  }

  // --- softmax -------------------------------------------------------------------------------------------------------

  // The seen columns [first, last) of a row lie in the vectors [begin, end).
  struct Span {
    N first, last, begin, end;
    Span(const TileRows<T>& t, N r)
        : first(t.first[r]),
          last(t.last[r]),
          begin(first / w * w),
          end(first < last ? (last + w - 1) / w * w : begin) {}

    V seen(N i, V x, T otherwise) const {
      alignas(64) static constexpr auto lanes = [] {
        struct Lanes {
          T at[w];
        } l{};
        for (N c = 0; c < w; ++c) l.at[c] = static_cast<T>(c);
        return l;
      }();
      const V lane = V::load_aligned(lanes.at);
      const auto inside = lane >= V(static_cast<T>(first - i)) && lane < V(static_cast<T>(last - i));
      return xsimd::select(inside, x, V(otherwise));
    }
    /// f(i, mask) for each vector: mask(x, otherwise) is x where seen.
    template <class F>
    void each(F f) const {
      const auto whole = [](V x, T) { return x; };
      const N last_whole = last / w * w;
      N i = begin;
      if (i < first && i < end) {
        f(i, [&](V x, T otherwise) { return seen(begin, x, otherwise); });
        i += w;
      }
      for (; i < last_whole; i += w) f(i, whole);
      if (i < end) f(i, [&](V x, T otherwise) { return seen(last_whole, x, otherwise); });
    }
  };

  static void clear(T* x, N begin, N end) {
    for (N i = begin; i < end; i += w) V(T(0)).store_unaligned(x + i);
  }

  static void softmax(const TileRows<T>& t, const TileSoftmax<T>& s) {
    constexpr T lowest = -static_cast<T>(INFINITY);
    const N whole = (t.columns + panel - 1) / panel * panel;
    T part[64];
    for (N r0 = 0; r0 < t.rows; r0 += 64) {
      const N rows = t.rows - r0 < 64 ? t.rows - r0 : 64;
      for (N r = r0; r < r0 + rows; ++r) {
        T* x = t.x + r * t.ld;
        const Span span(t, r);
        V m(lowest);  // a NaN may get lost here, but not in exp
        span.each([&](N i, auto mask) { m = xsimd::max(m, mask(load(x + i), lowest)); });
        const T here = t.factor * fold(m, [](T a, T b) { return b > a ? b : a; }), before = s.top[r];
        const T top = here <= before ? before : here;
        const V shift(top == lowest ? T(0) : top), factor(t.factor);
        V sum(T(0));
        clear(x, 0, span.begin);
        span.each([&](N i, auto mask) {
          const V e = mask(v_exp_fast<true>(v_fma(factor, load(x + i), -shift)), T(0));
          e.store_unaligned(x + i);
          sum += e;
        });
        clear(x, span.end, whole);
        s.top[r] = top;
        s.shrink[r] = top == before ? T(0) : before - top;
        part[r - r0] = fold_sum<T>(sum);
      }
      for (N r = rows; r % w != 0; ++r) part[r] = s.shrink[r0 + r] = s.sum[r0 + r] = T(0);
      for (N r = 0; r < rows; r += w) {
        const V shrink = v_exp_fast<true>(load(s.shrink + r0 + r));
        shrink.store_unaligned(s.shrink + r0 + r);
        v_fma(load(s.sum + r0 + r), shrink, load(part + r)).store_unaligned(s.sum + r0 + r);
      }
    }
  }

  static void softmax_grad(const TileRows<T>& t, const TileSoftmaxGrad<T>& g) {
    const N whole = (t.columns + panel - 1) / panel * panel;
    for (N r = 0; r < t.rows; ++r) {
      T *x = t.x + r * t.ld, *d = g.d_p + r * t.ld;
      const Span span(t, r);
      const V factor(t.factor), minus(-g.shift[r]), share(g.share[r]), product(g.inner[r]), times(g.scale);
      clear(x, 0, span.begin);
      clear(d, 0, span.begin);
      span.each([&](N i, auto mask) {
        const V p = mask(share * v_exp_fast(v_fma(factor, load(x + i), minus)), T(0));
        mask(times * p * (load(d + i) - product), T(0)).store_unaligned(d + i);
        p.store_unaligned(x + i);
      });
      clear(x, span.end, whole);
      clear(d, span.end, whole);
    }
  }

  static void dots(const T* a, N ld_a, const T* b, N ld_b, N rows, N columns, T* y) {
    for (N r = 0; r < rows; ++r, a += ld_a, b += ld_b) {
      V even(T(0)), odd(T(0));
      N i = 0;
      for (; i + 2 * w <= columns; i += 2 * w) {
        even = v_fma(load(a + i), load(b + i), even);
        odd = v_fma(load(a + i + w), load(b + i + w), odd);
      }
      for (; i < columns; i += w) {
        const N count = columns - i;
        even = count >= w ? v_fma(load(a + i), load(b + i), even)
                          : v_fma(load_part(a + i, count), load_part(b + i, count), even);
      }
      y[r] = fold_sum<T>(even + odd);
    }
  }

  static constexpr TileKernels<T> kernels() {
    return {.panel = panel,
            .panel_rows = panel_rows,
            .product = product<false>,
            .product_transposed = product<true>,
            .pack = pack,
            .pack_transposed = pack_transposed,
            .softmax = softmax,
            .softmax_grad = softmax_grad,
            .dots = dots};
  }
};

}  // namespace
}  // namespace weft
