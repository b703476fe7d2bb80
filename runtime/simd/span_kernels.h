// Loops over spans: whole vectors, then the tail through a small buffer under the same vector code.
// For the per-instruction-set files only.
#pragma once

#include <weft/runtime/simd/vector_math.h>

#include <cstdint>
#include <type_traits>

namespace weft {
namespace {

template <class T>
Vec<T> load(const T* x) {
  return Vec<T>::load_unaligned(x);
}

#if defined(__AVX512F__)
/// A bit for each of the first `count` lanes; count may be more than there are.
template <class T>
auto first_lanes(std::int64_t count) {
  using Mask = std::conditional_t<sizeof(T) == 4, __mmask16, __mmask8>;
  return count >= width<T> ? static_cast<Mask>(-1) : static_cast<Mask>((1U << count) - 1U);
}
#endif

/// The first `count` lanes from x, the others `fill`.
template <class T>
Vec<T> load_part(const T* x, std::int64_t count, T fill = T(0)) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return Vec<T>(_mm512_mask_loadu_ps(Vec<T>(fill), first_lanes<T>(count), x));
  if constexpr (std::is_same_v<T, double>) return Vec<T>(_mm512_mask_loadu_pd(Vec<T>(fill), first_lanes<T>(count), x));
#endif
  alignas(64) T lanes[width<T>];
  for (std::int64_t i = 0; i < width<T>; ++i) lanes[i] = i < count ? x[i] : fill;
  return Vec<T>::load_aligned(lanes);
}

template <class T>
void store_part(Vec<T> v, T* y, std::int64_t count) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return _mm512_mask_storeu_ps(y, first_lanes<T>(count), v);
  if constexpr (std::is_same_v<T, double>) return _mm512_mask_storeu_pd(y, first_lanes<T>(count), v);
#endif
  alignas(64) T lanes[width<T>];
  v.store_aligned(lanes);
  for (std::int64_t i = 0; i < count; ++i) y[i] = lanes[i];
}

/// y = f(inputs...)
template <class T, class F, class... In>
void map(T* y, std::int64_t n, F f, const In*... in) {
  std::int64_t i = 0;
  for (; i + width<T> <= n; i += width<T>) f(load(in + i)...).store_unaligned(y + i);
  if (i < n) store_part(f(load_part(in + i, n - i)...), y + i, n - i);
}

/// (y, z) = f(a, b)
template <class T, class F>
void map_to_two(T* y, T* z, std::int64_t n, F f, const T* a, const T* b) {
  std::int64_t i = 0;
  for (; i + width<T> <= n; i += width<T>) {
    const auto [v, w] = f(load(a + i), load(b + i));
    v.store_unaligned(y + i);
    w.store_unaligned(z + i);
  }
  if (i == n) return;
  const auto [v, w] = f(load_part(a + i, n - i), load_part(b + i, n - i));
  store_part(v, y + i, n - i);
  store_part(w, z + i, n - i);
}

/// The lanes' fold by a fixed tree: halves onto halves.
template <class T, class Join>
T fold(Vec<T> v, Join join) {
  alignas(64) T lanes[width<T>];
  v.store_aligned(lanes);
  for (std::int64_t half = width<T> / 2; half > 0; half /= 2) {
    for (std::int64_t i = 0; i < half; ++i) lanes[i] = join(lanes[i], lanes[i + half]);
  }
  return lanes[0];
}

template <class T>
T fold_sum(Vec<T> v) {
  return fold(v, [](T a, T b) { return a + b; });
}

constexpr std::int64_t sum_block = 1024;

/// The sum of at(i), a vector of lanes i .. i + width, over i = 0, width, ...; the last call is
/// part(i, count), which must give 0 in the lanes past count.
template <class T, class At, class Part>
double sum_lanes(std::int64_t n, At at, Part part) {
  double total = 0;
  for (std::int64_t begin = 0; begin < n; begin += sum_block) {
    const std::int64_t end = begin + sum_block < n ? begin + sum_block : n;
    Vec<T> s[4] = {Vec<T>(T(0)), Vec<T>(T(0)), Vec<T>(T(0)), Vec<T>(T(0))};
    std::int64_t i = begin;
    for (; i + 4 * width<T> <= end; i += 4 * width<T>) {
      for (std::int64_t j = 0; j < 4; ++j) s[j] += at(i + j * width<T>);
    }
    for (std::int64_t j = 0; i + width<T> <= end; i += width<T>, ++j) s[j] += at(i);
    if (i < end) s[3] += part(i, end - i);
    total += static_cast<double>(fold_sum<T>((s[0] + s[1]) + (s[2] + s[3])));
  }
  return total;
}

/// Lanes past count become 0.
template <class T>
Vec<T> mask_part(Vec<T> v, std::int64_t count) {
  alignas(64) T lanes[width<T>];
  v.store_aligned(lanes);
  for (std::int64_t i = count; i < width<T>; ++i) lanes[i] = T(0);
  return Vec<T>::load_aligned(lanes);
}

/// sum of f(inputs...)
template <class T, class F, class... In>
double sum_of(std::int64_t n, F f, const In*... in) {
  return sum_lanes<T>(
      n, [&](std::int64_t i) { return f(load(in + i)...); },
      [&](std::int64_t i, std::int64_t count) { return mask_part<T>(f(load_part(in + i, count)...), count); });
}

/// y = f(inputs...); returns the sum of y.
template <class T, class F, class... In>
double map_sum(T* y, std::int64_t n, F f, const In*... in) {
  return sum_lanes<T>(
      n,
      [&](std::int64_t i) {
        const Vec<T> v = f(load(in + i)...);
        v.store_unaligned(y + i);
        return v;
      },
      [&](std::int64_t i, std::int64_t count) {
        const Vec<T> v = f(load_part(in + i, count)...);
        store_part(v, y + i, count);
        return mask_part<T>(v, count);
      });
}

template <class T>
Vec<T> v_max(Vec<T> a, Vec<T> b) {  // NaN if either is
  return xsimd::select((b > a) || xsimd::isnan(b), b, a);
}
template <class T>
Vec<T> v_min(Vec<T> a, Vec<T> b) {
  return xsimd::select((b < a) || xsimd::isnan(b), b, a);
}

template <class T>
T max_of(const T* x, std::int64_t n) {
  const T lowest = -static_cast<T>(INFINITY);
  Vec<T> m(lowest);
  std::int64_t i = 0;
  for (; i + width<T> <= n; i += width<T>) m = v_max<T>(m, load(x + i));
  if (i < n) m = v_max<T>(m, load_part(x + i, n - i, lowest));
  return fold(m, [](T a, T b) { return b > a || b != b ? b : a; });
}

}  // namespace
}  // namespace weft
