// Conversions of kernels between bf16 or f16, which are stored in two bytes, and f32, in which they are computed.
//
//   float buffer[block];
//   const float* x = widened(k.in<T>(0), buffer, n);    // the operand itself where T is f32 or f64
//   float* y = wide_target(k.out<T>(0), buffer);
//   ...                                                 // y[i] = f(x[i])
//   store(y, k.out<T>(0), n);                           // rounded once, to nearest even
//
// Not in <weft/weft.h>.
#pragma once

#include <weft/graph/dtype.h>
#include <weft/runtime/simd/simd.h>

#include <cstdint>
#include <type_traits>

namespace weft {

template <class T>
inline constexpr bool is_narrow = std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>;
constexpr bool is_narrow_type(DType type) { return type == bf16 || type == f16; }

/// The type in which T is computed: f32 for bf16 and f16, else T.
template <class T>
using Wide = std::conditional_t<is_narrow<T>, float, T>;
/// The floating type of statistics, losses and sums of products of `type`: f64 for f64, else f32.
constexpr DType wide(DType type) { return type == f64 ? f64 : f32; }

/// Elements that a kernel widens at a time, so that they stay in L1.
inline constexpr std::int64_t narrow_block = 512;

/// y = x, exactly.
inline void widen(const bfloat16* x, float* y, std::int64_t n) {
  simd_bits().bf16_to_f32(reinterpret_cast<const std::uint16_t*>(x), y, n);
}
inline void widen(const float16* x, float* y, std::int64_t n) {
  simd_bits().f16_to_f32(reinterpret_cast<const std::uint16_t*>(x), y, n);
}
/// y = x, rounded to nearest even.
inline void narrow(const float* x, bfloat16* y, std::int64_t n) {
  simd_bits().f32_to_bf16(x, reinterpret_cast<std::uint16_t*>(y), n);
}
inline void narrow(const float* x, float16* y, std::int64_t n) {
  simd_bits().f32_to_f16(x, reinterpret_cast<std::uint16_t*>(y), n);
}
/// The same where the narrow type is known at run time only.
inline void widen(DType type, const void* x, float* y, std::int64_t n) {
  type == bf16 ? widen(static_cast<const bfloat16*>(x), y, n) : widen(static_cast<const float16*>(x), y, n);
}
inline void narrow(DType type, const float* x, void* y, std::int64_t n) {
  type == bf16 ? narrow(x, static_cast<bfloat16*>(y), n) : narrow(x, static_cast<float16*>(y), n);
}

/// n elements of x in their wide type: x itself, or converted into `buffer`.
template <class T>
const Wide<T>* widened(const T* x, [[maybe_unused]] Wide<T>* buffer, [[maybe_unused]] std::int64_t n) {
  if constexpr (!is_narrow<T>) {
    return x;
  } else {
    widen(x, buffer, n);
    return buffer;
  }
}

/// Where the wide results of y are written: y itself, or `buffer`; store() then puts them into y.
template <class T>
Wide<T>* wide_target(T* y, [[maybe_unused]] Wide<T>* buffer) {
  if constexpr (is_narrow<T>) return buffer;
  else return y;
}
template <class T>
void store([[maybe_unused]] const Wide<T>* result, [[maybe_unused]] T* y, [[maybe_unused]] std::int64_t n) {
  if constexpr (is_narrow<T>) narrow(result, y, n);
}

}  // namespace weft
