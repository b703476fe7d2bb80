// Elementary functions of one vector. For the per-instruction-set files only; everything is in an
// anonymous namespace, so that no instruction leaks into another file's copy at link time.
#pragma once

#include <weft/runtime/simd/xsimd.h>

#include <math.h>

namespace weft {
namespace {

/// f applied lane by lane: for double, where the C library is more accurate.
template <class F>
Vec<double> by_lane(Vec<double> x, F f) {
  alignas(64) double lanes[width<double>];
  x.store_aligned(lanes);
  for (double& lane : lanes) lane = f(lane);
  return Vec<double>::load_aligned(lanes);
}

template <class T>
Vec<T> v_exp(Vec<T> x) {
  return xsimd::exp(x);
}

template <class T>
Vec<T> v_log(Vec<T> x) {
  return xsimd::log(x);
}

template <class T>
Vec<T> v_tanh(Vec<T> x) {
  return xsimd::tanh(x);
}

inline Vec<float> v_erf(Vec<float> x) { return xsimd::erf(x); }
inline Vec<double> v_erf(Vec<double> x) {
  return by_lane(x, [](double lane) { return ::erf(lane); });
}

/// s = 1 / (1 + exp(-x)) and its derivative s (1 - s).
template <class T>
struct Sigmoid {
  Vec<T> value, slope;
};

// exp(-|x|) cannot overflow, and neither result subtracts from 1.
template <class T>
Sigmoid<T> v_sigmoid(Vec<T> x) {
  const Vec<T> one(T(1));
  const Vec<T> e = v_exp<T>(-xsimd::abs(x));
  const Vec<T> r = one / (one + e);
  const Vec<T> small = e * r;
  return {xsimd::select(x < Vec<T>(T(0)), small, r), small * r};
}

/// phi(x) = exp(-x^2/2) / sqrt(2 pi) and Phi(x), the normal density and distribution.
struct Normal {
  Vec<float> density, distribution;
};

// Phi(-a) = exp(-a^2/2) t P(1 - t), t = 1 / (1 + 0.4 a), for a >= 0: P, with P(0) = 1/2, fitted to
// the scaled complementary error function with relative error 2e-8. The rounding of a^2/2 is put
// right after exp.
inline Normal v_normal(Vec<float> x) {
  using V = Vec<float>;
  const V a = xsimd::min(xsimd::abs(x), V(40.0F));  // from there on exp gives 0
  const V half = a * V(0.5F);
  const V square = half * a;
  const V rest = v_fma(half, a, -square);
  const V e = v_exp<float>(-square);
  const V density = v_fma(-rest, e, e);
  const V scaled = a * V(0.4F);
  const V t = V(1.0F) / (scaled + V(1.0F));
  const V s = scaled * t;
  V p(-0.03172068353F);
  for (const float c : {0.1111610886F, -0.1242378466F, 0.05430930591F, -0.05948835619F, 0.02230576131F, 0.1167624144F,
                        0.06784180868F, -0.4973568637F, 0.5F}) {
    p = v_fma(p, s, V(c));
  }
  const V tail = density * t * p;
  return {density * V(0.398942280F), xsimd::select(x < V(0.0F), tail, xsimd::select(x == x, V(1.0F) - tail, x))};
}

inline Vec<float> v_gelu(Vec<float> x) { return x * v_normal(x).distribution; }
inline Vec<double> v_gelu(Vec<double> x) {
  return by_lane(x, [](double lane) { return 0.5 * lane * ::erfc(-lane * 0.70710678118654752); });
}

inline Vec<float> v_gelu_slope(Vec<float> x) {
  const Normal normal = v_normal(x);
  return v_fma(x, normal.density, normal.distribution);
}
inline Vec<double> v_gelu_slope(Vec<double> x) {
  return by_lane(x, [](double lane) {
    return 0.5 * ::erfc(-lane * 0.70710678118654752) + lane * ::exp(-0.5 * lane * lane) * 0.39894228040143268;
  });
}

/// A function's value and derivative.
template <class T>
struct Both {
  Vec<T> value, slope;
};

inline Both<float> v_gelu_both(Vec<float> x) {
  const Normal normal = v_normal(x);
  return {x * normal.distribution, v_fma(x, normal.density, normal.distribution)};
}
inline Both<double> v_gelu_both(Vec<double> x) { return {v_gelu(x), v_gelu_slope(x)}; }

// 1/2 (1 + tanh(u)) = sigmoid(2 u), without the cancellation at large negative u.
constexpr double gelu_tanh_a = 2 * 0.79788456080286536;  // 2 sqrt(2 / pi)
constexpr double gelu_tanh_b = 0.044715;

template <class T>
Sigmoid<T> v_gelu_tanh_gate(Vec<T> x) {
  const Vec<T> a(static_cast<T>(gelu_tanh_a)), ab(static_cast<T>(gelu_tanh_a * gelu_tanh_b));
  return v_sigmoid<T>(x * v_fma(x * x, ab, a));
}

template <class T>
Both<T> v_gelu_tanh_both(Vec<T> x) {
  const Vec<T> a(static_cast<T>(gelu_tanh_a)), ab3(static_cast<T>(3 * gelu_tanh_a * gelu_tanh_b));
  const Sigmoid<T> s = v_gelu_tanh_gate<T>(x);
  return {x * s.value, v_fma(x * v_fma(x * x, ab3, a), s.slope, s.value)};
}

template <class T>
Both<T> v_silu_both(Vec<T> x) {
  const Sigmoid<T> s = v_sigmoid<T>(x);
  return {x * s.value, v_fma(x, s.slope, s.value)};
}

}  // namespace
}  // namespace weft
