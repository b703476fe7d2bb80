// xsimd, versions 8 (Debian 12) to 13 (Debian 13): vectors of the including file's instruction set, and what the
// versions call or compute differently. For the per-instruction-set files only; no other file includes xsimd.
//   fma           xsimd 8 multiplies and then adds under AVX-512, 11 and later round once
//   bitwise_cast  names the resulting vector in xsimd 8, its element since 11
// xsimd 13 takes AVX-512 with BW and DQ for AVX-512 only where CD is there too (Debian 13): CMakeLists.txt,
// runtime/simd/simd.cpp.
#pragma once

#include <xsimd/xsimd.hpp>

#include <cstdint>

namespace weft {
namespace {

using Arch = xsimd::default_arch;
template <class T>
using Vec = xsimd::batch<T, Arch>;
template <class T>
constexpr std::int64_t width = static_cast<std::int64_t>(Vec<T>::size);

/// a b + c, rounded once where the instruction set can.
template <class T>
Vec<T> v_fma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return Vec<T>(_mm512_fmadd_ps(a, b, c));
  else return Vec<T>(_mm512_fmadd_pd(a, b, c));
#else
  return xsimd::fma(a, b, c);
#endif
}

/// The same bits as numbers of another type.
template <class To, class From>
Vec<To> v_bits(Vec<From> x) {
#if XSIMD_VERSION_MAJOR >= 11
  return xsimd::bitwise_cast<To>(x);
#else
  return xsimd::bitwise_cast<Vec<To>>(x);
#endif
}

}  // namespace
}  // namespace weft
