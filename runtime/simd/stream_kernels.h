// The functions of streams.h, written once over the vectors of the including file's instruction set.
// For the per-instruction-set files only.
#pragma once

#include <weft/runtime/simd/bits_kernels.h>
#include <weft/runtime/simd/streams.h>

namespace weft {
namespace {

template <class T>
struct Streams {
  using V = Vec<T>;
  using N = std::int64_t;

  // Not fused multiply-adds: each result is rounded, as in the plain definition.
  static void adamw_vector(const AdamwStep<T>& s, V& p, V g, V& m, V& v) {
    g = g * V(s.factor);
    m = V(s.beta1) * m + V(s.rest1) * g;
    v = V(s.beta2) * v + (V(s.rest2) * g) * g;  // the factor first: the square alone may overflow
    p = p * V(s.decay) - V(s.size) * (m / (xsimd::sqrt(v) / V(s.root) + V(s.eps)));
  }

  static void adamw(const AdamwStep<T>& s, const T* p, const T* g, const T* m, const T* v, T* p_out, T* m_out, T* v_out,
                    N n) {
    N i = 0;
    for (; i + width<T> <= n; i += width<T>) {
      V a = load(p + i), b = load(m + i), c = load(v + i);
      adamw_vector(s, a, load(g + i), b, c);
      a.store_unaligned(p_out + i);
      b.store_unaligned(m_out + i);
      c.store_unaligned(v_out + i);
    }
    if (i == n) return;
    V a = load_part(p + i, n - i), b = load_part(m + i, n - i), c = load_part(v + i, n - i);
    adamw_vector(s, a, load_part(g + i, n - i), b, c);
    store_part(a, p_out + i, n - i);
    store_part(b, m_out + i, n - i);
    store_part(c, v_out + i, n - i);
  }

  // Four rows at a time, so that y is loaded and stored once for them.
  static void add_rows(const T* x, N stride, N rows, double* y, N n) {
    using D = Vec<double>;
    constexpr N w = width<double>;
    N r = 0;
    for (; r + 4 <= rows; r += 4, x += 4 * stride) {
      const T *x1 = x + stride, *x2 = x1 + stride, *x3 = x2 + stride;
      N c = 0;
      for (; c + w <= n; c += w) {
        D sum = load(y + c) + load_wide(x + c);
        sum += load_wide(x1 + c);
        sum += load_wide(x2 + c);
        sum += load_wide(x3 + c);
        sum.store_unaligned(y + c);
      }
      for (; c < n; ++c) {
        double sum = y[c] + static_cast<double>(x[c]);
        sum += static_cast<double>(x1[c]);
        sum += static_cast<double>(x2[c]);
        y[c] = sum + static_cast<double>(x3[c]);
      }
    }
    for (; r < rows; ++r, x += stride) {
      N c = 0;
      for (; c + w <= n; c += w) (load(y + c) + load_wide(x + c)).store_unaligned(y + c);
      for (; c < n; ++c) y[c] += static_cast<double>(x[c]);
    }
  }

  static constexpr SimdStreams<T> table() { return {.adamw = adamw, .add_rows = add_rows}; }
};

constexpr StreamTables make_streams() { return {.f32 = Streams<float>::table(), .f64 = Streams<double>::table()}; }

}  // namespace
}  // namespace weft
