// Widening, 2-byte storage and random words. For the per-instruction-set files only.
#pragma once

#include <weft/runtime/simd/span_kernels.h>

#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace weft {
namespace {

// --- Widening sums

inline Vec<double> load_wide(const double* x) { return load(x); }
inline Vec<double> load_wide(const float* x) {
#if defined(__AVX512F__)
  return _mm512_cvtps_pd(_mm256_loadu_ps(x));
#elif defined(__AVX__)
  return _mm256_cvtps_pd(_mm_loadu_ps(x));
#else
  alignas(64) double lanes[width<double>];
  for (std::int64_t i = 0; i < width<double>; ++i) lanes[i] = static_cast<double>(x[i]);
  return Vec<double>::load_aligned(lanes);
#endif
}

template <class T>
Vec<double> load_wide_part(const T* x, std::int64_t count) {
  T lanes[width<double>];
  for (std::int64_t i = 0; i < width<double>; ++i) lanes[i] = i < count ? x[i] : T(0);
  return load_wide(lanes);
}

/// sum of f(inputs...) in double; f of zeros must be 0.
template <class T, class F, class... In>
double sum_wide(std::int64_t n, F f, const T* x, const In*... in) {
  return sum_lanes<double>(
      n, [&](std::int64_t i) { return f(load_wide(x + i), load_wide(in + i)...); },
      [&](std::int64_t i, std::int64_t count) {
        return f(load_wide_part(x + i, count), load_wide_part(in + i, count)...);
      });
}

// --- Storage of two bytes

inline void bf16_to_f32(const std::uint16_t* x, float* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] = __builtin_bit_cast(float, static_cast<std::uint32_t>(x[i]) << 16);
  }
}

inline void f32_to_bf16(const float* x, std::uint16_t* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const auto u = __builtin_bit_cast(std::uint32_t, x[i]);
    const std::uint32_t rounded = (u + 0x7fffU + ((u >> 16) & 1U)) >> 16;
    const std::uint32_t quiet_nan = (u >> 16) | 0x40U;
    y[i] = static_cast<std::uint16_t>((u & 0x7fffffffU) > 0x7f800000U ? quiet_nan : rounded);
  }
}

#if defined(__F16C__)

inline void f16_to_f32(const std::uint16_t* x, float* y, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
    _mm256_storeu_ps(y + i, _mm256_cvtph_ps(h));
  }
  for (; i < n; ++i) y[i] = _cvtsh_ss(x[i]);
}

inline void f32_to_f16(const float* x, std::uint16_t* y, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i), h);
  }
  for (; i < n; ++i) y[i] = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

#else

inline void f16_to_f32(const std::uint16_t* x, float* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(__builtin_bit_cast(_Float16, x[i]));
}

inline void f32_to_f16(const float* x, std::uint16_t* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] = __builtin_bit_cast(std::uint16_t, static_cast<_Float16>(x[i]));
  }
}

#endif

// --- Philox4x32-10 (Salmon et al. 2011, section 3.3): one block per lane

constexpr std::uint32_t philox_multiplier[2] = {0xD2511F53U, 0xCD9E8D57U};
constexpr std::uint32_t philox_weyl[2] = {0x9E3779B9U, 0xBB67AE85U};
constexpr int philox_rounds = 10;

#if defined(__AVX2__)

using Words = __m256i;
constexpr int philox_lanes = 8;
inline Words all(std::uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); }
inline Words count_up() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
inline Words add(Words a, Words b) { return _mm256_add_epi32(a, b); }
inline Words exclusive_or(Words a, Words b) { return _mm256_xor_si256(a, b); }

struct Product {
  Words high, low;
};
inline Product multiply(Words a, Words m) {
  const Words even = _mm256_mul_epu32(a, m);
  const Words odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), m);
  return {_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA),
          _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA)};
}

// Stores c, which has word i of block b in lane b of c[i], block after block.
inline void store_blocks(const Words (&c)[4], std::uint32_t* out) {
  const Words a = _mm256_unpacklo_epi32(c[0], c[1]), b = _mm256_unpacklo_epi32(c[2], c[3]);
  const Words d = _mm256_unpackhi_epi32(c[0], c[1]), e = _mm256_unpackhi_epi32(c[2], c[3]);
  const Words blocks[4] = {_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b), _mm256_unpacklo_epi64(d, e),
                           _mm256_unpackhi_epi64(d, e)};
  for (int i = 0; i < 4; ++i) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 4 * i), _mm256_castsi256_si128(blocks[i]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16 + 4 * i), _mm256_extracti128_si256(blocks[i], 1));
  }
}

#else

using Words = std::uint32_t;
constexpr int philox_lanes = 1;
inline Words all(std::uint32_t x) { return x; }
inline Words count_up() { return 0; }
inline Words add(Words a, Words b) { return a + b; }
inline Words exclusive_or(Words a, Words b) { return a ^ b; }

struct Product {
  Words high, low;
};
inline Product multiply(Words a, Words m) {
  const std::uint64_t product = static_cast<std::uint64_t>(a) * m;
  return {static_cast<std::uint32_t>(product >> 32), static_cast<std::uint32_t>(product)};
}

inline void store_blocks(const Words (&c)[4], std::uint32_t* out) {
  for (int i = 0; i < 4; ++i) out[i] = c[i];
}

#endif

inline void philox(std::uint32_t first, const std::uint32_t* counter, const std::uint32_t* key, std::uint32_t* out,
                   std::int64_t blocks) {
  for (std::int64_t block = 0; block < blocks; block += philox_lanes) {
    Words c[4] = {add(all(first + static_cast<std::uint32_t>(block)), count_up()), all(counter[0]), all(counter[1]),
                  all(counter[2])};
    std::uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < philox_rounds; ++round) {
      const Product p = multiply(c[0], all(philox_multiplier[0]));
      const Product q = multiply(c[2], all(philox_multiplier[1]));
      c[0] = exclusive_or(exclusive_or(q.high, c[1]), all(k0));
      c[2] = exclusive_or(exclusive_or(p.high, c[3]), all(k1));
      c[1] = q.low;
      c[3] = p.low;
      k0 += philox_weyl[0];
      k1 += philox_weyl[1];
    }
    if (block + philox_lanes <= blocks) {
      store_blocks(c, out + 4 * block);
    } else {
      std::uint32_t words[4 * philox_lanes];
      store_blocks(c, words);
      for (std::int64_t i = 0; i < 4 * (blocks - block); ++i) out[4 * block + i] = words[i];
    }
  }
}

}  // namespace
}  // namespace weft
