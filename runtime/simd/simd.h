// The vector arithmetic of hot kernels: functions over spans (a pointer and a count), chosen once
// for the processor that runs (SSE2, AVX2 + FMA, AVX-512).
//
//   const Simd<float>& v = simd<float>();
//   v.gelu(x, y, n);
//
// What holds for all of them:
// - An element's bits depend on its value only, never on its place or on n: tails run the same
//   vector code. A reduction's bits depend on its n values and their order, never on alignment.
// - Spans need no alignment; an output may be the same span as an input, but must not overlap it
//   otherwise. n may be 0 (sum: 0, max: -inf).
// - NaN passes through (max, min, relu included). Nothing allocates.
//
// Largest relative error, measured against std:: functions in higher precision (held by
// tests/runtime/simd/simd_test.cpp): f32 exp 1.3e-7, log 9e-8, tanh 1.5e-7, erf 1.8e-7, sigmoid and silu 3e-7, expm1,
// log1p (x > -0.9), log_sigmoid and elu 3e-7, mish 5e-7, gelu 5e-7 for x > -3 (beyond, 4.5e-6 without FMA),
// gelu_tanh 1.2e-6; f64 1e-15, gelu and gelu_tanh 4e-15 for x > -3. The derivatives of activations have absolute errors
// below 3e-7 and 1e-15.
#pragma once

#include <cstdint>

namespace weft {

template <class T>
struct Simd {
  using Unary = void (*)(const T* x, T* y, std::int64_t n);
  using UnaryGrad = void (*)(const T* x, const T* d_y, T* d_x, std::int64_t n);
  using UnaryBoth = void (*)(const T* x, const T* d_y, T* y, T* d_x, std::int64_t n);
  using Binary = void (*)(const T* a, const T* b, T* y, std::int64_t n);
  /// With parameters p, as many as the function says.
  using Curve = void (*)(const T* x, const T* p, T* y, std::int64_t n);
  using CurveGrad = void (*)(const T* x, const T* d_y, const T* p, T* d_x, std::int64_t n);
  using WithScalar = void (*)(const T* x, T a, T* y, std::int64_t n);

  // y = f(x)
  Unary exp, expm1, log, log1p, tanh, erf, sqrt, reciprocal, negate, absolute, square, relu;
  Unary floor, ceil;
  Unary round;        ///< halves to even
  Unary sigmoid;      ///< 1 / (1 + exp(-x))
  Unary silu;         ///< x sigmoid(x)
  Unary gelu;         ///< x Phi(x), Phi the normal distribution's (Hendrycks and Gimpel 2016, eq. 1)
  Unary gelu_tanh;    ///< x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), its approximation
  Unary log_sigmoid;  ///< log(sigmoid(x))
  Unary mish;         ///< x tanh(log(1 + exp(x)))
  Unary hardsigmoid;  ///< clamp(x + 3, 0, 6) / 6
  Unary hardswish;    ///< x clamp(x + 3, 0, 6) / 6

  // d_x = d_y f'(x)
  UnaryGrad relu_grad;  ///< f'(0) = 0
  UnaryGrad silu_grad;
  UnaryGrad gelu_grad;  ///< f'(x) = Phi(x) + x phi(x)
  UnaryGrad gelu_tanh_grad;
  UnaryGrad tanh_grad, sigmoid_grad, log_sigmoid_grad, mish_grad;
  UnaryGrad hardsigmoid_grad;  ///< 0 at -3 and 3
  UnaryGrad hardswish_grad;    ///< 0 at -3, 1 at 3

  /// y = f(x) and d_x = d_y f'(x) in one pass; the bits are those of the two functions (a NaN's sign and payload
  /// apart). y may be x's span, d_x may be d_y's.
  UnaryBoth gelu_both, gelu_tanh_both, silu_both;

  // y = f(x; p) and d_x = d_y f'(x; p)
  Curve clamp;           ///< min(max(x, p[0]), p[1])
  CurveGrad clamp_grad;  ///< 0 at both bounds
  Curve leaky_relu;      ///< x where x > 0, else p[0] x
  CurveGrad leaky_relu_grad;
  Curve elu;  ///< p[0] x where x > 0, else p[1] (exp(p[2] x) - 1)
  CurveGrad elu_grad;
  Curve softplus;  ///< x where p[0] x > p[1], else log(1 + exp(p[0] x)) / p[0]
  CurveGrad softplus_grad;

  // y = a op b
  Binary add, subtract, multiply, divide, maximum, minimum;

  WithScalar scale;       ///< y = a x
  WithScalar add_scalar;  ///< y = x + a
  WithScalar axpy;        ///< y = y + a x, one rounding (FMA) where the processor has it

  /// y = a b + c
  void (*multiply_add)(const T* a, const T* b, const T* c, T* y, std::int64_t n);
  /// y = y + a b
  void (*accumulate_product)(const T* a, const T* b, T* y, std::int64_t n);

  // Reductions: lanes within blocks of 1024 elements in T, a fixed tree over the lanes, the blocks'
  // sums in double.
  T (*sum)(const T* x, std::int64_t n);
  T (*dot)(const T* a, const T* b, std::int64_t n);
  T (*sum_squares)(const T* x, std::int64_t n);
  /// sum of (x - mean)^2
  T (*sum_deviations)(const T* x, T mean, std::int64_t n);
  T (*max)(const T* x, std::int64_t n);

  // The same with every element widened to double first.
  double (*sum_f64)(const T* x, std::int64_t n);
  double (*dot_f64)(const T* a, const T* b, std::int64_t n);
  double (*sum_squares_f64)(const T* x, std::int64_t n);

  /// y = exp(scale x - shift); returns the sum of y. Softmax: shift = scale max(x), scale > 0.
  T (*exp_sum)(const T* x, T scale, T shift, T* y, std::int64_t n);
  /// d_x = scale p (d_p - inner): softmax's backward with inner = dot(p, d_p).
  void (*softmax_grad)(const T* p, const T* d_p, T inner, T scale, T* d_x, std::int64_t n);

  /// y = (x - mean) rstd weight + bias; weight and bias may be null (1 and 0).
  void (*normalize)(const T* x, T mean, T rstd, const T* weight, const T* bias, T* y, std::int64_t n);
  /// Layer norm's backward of one row, with h = (x - mean) rstd and g = d_y weight:
  /// d_x = rstd (g - mean(g) - h mean(g h)); weight may be null.
  void (*normalize_grad)(const T* x, const T* d_y, T mean, T rstd, const T* weight, T* d_x, std::int64_t n);
  /// Adds one row's share: d_weight += d_y h, d_bias += d_y; either may be null.
  void (*normalize_param_grad)(const T* x, const T* d_y, T mean, T rstd, T* d_weight, T* d_bias, std::int64_t n);

  /// y = words >= threshold ? value : 0 (the scaled keep mask of dropout).
  void (*keep_scale)(const std::uint32_t* words, std::uint32_t threshold, T value, T* y, std::int64_t n);
};

/// Conversions of 2-byte storage, rounded to nearest even as bfloat16 and float16 in dtype.h do
/// (pointers to their bits), and random words.
struct SimdBits {
  void (*bf16_to_f32)(const std::uint16_t* x, float* y, std::int64_t n);
  void (*f32_to_bf16)(const float* x, std::uint16_t* y, std::int64_t n);
  void (*f16_to_f32)(const std::uint16_t* x, float* y, std::int64_t n);
  void (*f32_to_f16)(const float* x, std::uint16_t* y, std::int64_t n);
  /// Philox4x32-10: words 4 b .. 4 b + 3 of `out` are the block of counter
  /// (first + b, counter[0], counter[1], counter[2]) under `key`, b in [0, blocks). See random.h.
  void (*philox)(std::uint32_t first, const std::uint32_t* counter, const std::uint32_t* key, std::uint32_t* out,
                 std::int64_t blocks);
};

struct SimdTables {
  const char* name;
  Simd<float> f32;
  Simd<double> f64;
  SimdBits bits;
};

enum class SimdLevel { baseline, avx2, avx512 };

/// The tables of a level, or null where the processor lacks it (tests compare levels).
const SimdTables* simd_tables(SimdLevel level);

/// The tables in use: the processor's best, or what the environment variable WEFT_SIMD names
/// (baseline, avx2 or avx512) where the processor has it. Chosen at the first call.
const SimdTables& simd_tables();

template <class T>
const Simd<T>& simd();
template <>
inline const Simd<float>& simd<float>() {
  return simd_tables().f32;
}
template <>
inline const Simd<double>& simd<double>() {
  return simd_tables().f64;
}
inline const SimdBits& simd_bits() { return simd_tables().bits; }

}  // namespace weft
