// Activation functions of one vector beyond those of vector_math.h, and their derivatives f'(x). For the
// per-instruction-set files only. Arguments of exp are never positive, so that nothing overflows; NaN stays NaN.
#pragma once

#include <weft/runtime/simd/span_kernels.h>

namespace weft {
namespace {

template <class T>
Vec<T> v_number(double value) {
  return Vec<T>(static_cast<T>(value));
}

template <class T>
Vec<T> v_clamp(Vec<T> x, Vec<T> low, Vec<T> high) {  // high where low > high
  return v_min<T>(high, v_max<T>(low, x));
}
template <class T>
Vec<T> v_clamp_slope(Vec<T> x, Vec<T> low, Vec<T> high) {
  return xsimd::select((x <= low) || (x >= high), v_number<T>(0), v_number<T>(1));
}

// 1 - tanh^2 = 4 e / (1 + e)^2, e = exp(-2 |x|)
template <class T>
Vec<T> v_tanh_slope(Vec<T> x) {
  const Vec<T> e = v_exp<T>(xsimd::abs(x) * v_number<T>(-2));
  const Vec<T> r = v_number<T>(2) / (v_number<T>(1) + e);
  return e * r * r;
}

// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))
template <class T>
Vec<T> v_log_one_plus_exp(Vec<T> x) {
  return v_max<T>(v_number<T>(0), x) + xsimd::log1p(v_exp<T>(-xsimd::abs(x)));
}

template <class T>
Vec<T> v_softplus(Vec<T> x, Vec<T> beta, Vec<T> threshold) {
  const Vec<T> z = beta * x;
  return xsimd::select(z > threshold, x, v_log_one_plus_exp<T>(z) / beta);
}
template <class T>
Vec<T> v_softplus_slope(Vec<T> x, Vec<T> beta, Vec<T> threshold) {
  const Vec<T> z = beta * x;
  return xsimd::select(z > threshold, v_number<T>(1), v_sigmoid<T>(z).value);
}

template <class T>
Vec<T> v_leaky_relu(Vec<T> x, Vec<T> slope) {
  return xsimd::select(x > v_number<T>(0), x, slope * x);
}
template <class T>
Vec<T> v_leaky_relu_slope(Vec<T> x, Vec<T> slope) {
  return xsimd::select(x > v_number<T>(0), v_number<T>(1), slope);
}

template <class T>
Vec<T> v_elu(Vec<T> x, Vec<T> positive, Vec<T> negative, Vec<T> rate) {
  const Vec<T> zero = v_number<T>(0);
  const Vec<T> below = negative * xsimd::expm1(rate * v_min<T>(zero, x));
  return xsimd::select(x > zero, positive * x, below);
}
template <class T>
Vec<T> v_elu_slope(Vec<T> x, Vec<T> positive, Vec<T> negative, Vec<T> rate) {
  const Vec<T> zero = v_number<T>(0);
  return xsimd::select(x > zero, positive, negative * rate * v_exp<T>(rate * v_min<T>(zero, x)));
}

// tanh(log(1 + e^x)) = n / (n + 2), n = e^x (e^x + 2); for x >= 0, over e^2x: (1 + 2 e) / (1 + 2 e + 2 e^2), e = e^-x.
template <class T>
struct MishGate {
  Vec<T> value;  ///< g
  Vec<T> rest;   ///< 1 - g
  Vec<T> sigmoid;
};
template <class T>
MishGate<T> v_mish_gate(Vec<T> x) {
  const Vec<T> one(T(1)), two(T(2));
  const auto below = x < v_number<T>(0);
  const Vec<T> e = v_exp<T>(-xsimd::abs(x)), r = one / (one + e);
  const Vec<T> above = xsimd::select(below, e * (e + two), one + two * e);
  const Vec<T> rest = xsimd::select(below, two, two * e * e);
  const Vec<T> total = above + rest;
  return {above / total, rest / total, xsimd::select(below, e * r, r)};
}
// g + x (1 - g^2) sigmoid(x)
template <class T>
Vec<T> v_mish_slope(Vec<T> x) {
  const MishGate<T> g = v_mish_gate<T>(x);
  return v_fma(x * g.rest, (v_number<T>(1) + g.value) * g.sigmoid, g.value);
}

template <class T>
Vec<T> v_hardsigmoid(Vec<T> x) {
  return v_clamp<T>(x + v_number<T>(3), v_number<T>(0), v_number<T>(6)) / v_number<T>(6);
}
template <class T>
Vec<T> v_hardsigmoid_slope(Vec<T> x) {
  return v_clamp_slope<T>(x, v_number<T>(-3), v_number<T>(3)) * v_number<T>(1.0 / 6);
}
template <class T>
Vec<T> v_hardswish(Vec<T> x) {
  return x * v_clamp<T>(x + v_number<T>(3), v_number<T>(0), v_number<T>(6)) / v_number<T>(6);
}
template <class T>
Vec<T> v_hardswish_slope(Vec<T> x) {
  const Vec<T> inside = x / v_number<T>(3) + v_number<T>(0.5);
  const Vec<T> above = xsimd::select(x >= v_number<T>(3), v_number<T>(1), inside);
  return xsimd::select(x <= v_number<T>(-3), v_number<T>(0), above);
}

}  // namespace
}  // namespace weft
