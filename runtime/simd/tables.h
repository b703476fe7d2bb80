// The functions of simd.h, written once over the vectors of the including file's instruction set.
// For the per-instruction-set files only.
#pragma once

#include <weft/runtime/simd/bits_kernels.h>
#include <weft/runtime/simd/curves.h>
#include <weft/runtime/simd/simd.h>
#include <weft/runtime/simd/span_kernels.h>

namespace weft {
namespace {

template <class T>
struct Kernels {
  using V = Vec<T>;
  using N = std::int64_t;

  template <class F>
  static constexpr auto unary(F) {
    return [](const T* x, T* y, N n) { map(y, n, [](V v) { return F()(v); }, x); };
  }
  template <class F>
  static constexpr auto binary(F) {
    return [](const T* a, const T* b, T* y, N n) { map(y, n, [](V v, V w) { return F()(v, w); }, a, b); };
  }

  static void scale(const T* x, T a, T* y, N n) {
    map(y, n, [a](V v) { return V(a) * v; }, x);
  }
  static void add_scalar(const T* x, T a, T* y, N n) {
    map(y, n, [a](V v) { return v + V(a); }, x);
  }
  static void axpy(const T* x, T a, T* y, N n) {
    map(y, n, [a](V v, V w) { return v_fma(V(a), v, w); }, x, static_cast<const T*>(y));
  }
  static void multiply_add(const T* a, const T* b, const T* c, T* y, N n) {
    map(y, n, [](V u, V v, V w) { return v_fma(u, v, w); }, a, b, c);
  }
  static void accumulate_product(const T* a, const T* b, T* y, N n) { multiply_add(a, b, y, y, n); }

  static T sum(const T* x, N n) {
    return static_cast<T>(sum_of<T>(n, [](V v) { return v; }, x));
  }
  static T dot(const T* a, const T* b, N n) {
    return static_cast<T>(sum_of<T>(n, [](V v, V w) { return v * w; }, a, b));
  }
  static T sum_squares(const T* x, N n) {
    return static_cast<T>(sum_of<T>(n, [](V v) { return v * v; }, x));
  }
  static T sum_deviations(const T* x, T mean, N n) {
    return static_cast<T>(sum_of<T>(
        n,
        [mean](V v) {
          const V d = v - V(mean);
          return d * d;
        },
        x));
  }
  static T max(const T* x, N n) { return max_of(x, n); }

  static double sum_f64(const T* x, N n) {
    return sum_wide(n, [](Vec<double> v) { return v; }, x);
  }
  static double dot_f64(const T* a, const T* b, N n) {
    return sum_wide(n, [](Vec<double> v, Vec<double> w) { return v * w; }, a, b);
  }
  static double sum_squares_f64(const T* x, N n) {
    return sum_wide(n, [](Vec<double> v) { return v * v; }, x);
  }

  static T exp_sum(const T* x, T scale, T shift, T* y, N n) {
    return static_cast<T>(map_sum(y, n, [=](V v) { return v_exp<T>(v_fma(v, V(scale), -V(shift))); }, x));
  }
  static void softmax_grad(const T* p, const T* d_p, T inner, T scale, T* d_x, N n) {
    map(d_x, n, [=](V v, V d) { return V(scale) * v * (d - V(inner)); }, p, d_p);
  }

  static void normalize(const T* x, T mean, T rstd, const T* weight, const T* bias, T* y, N n) {
    const V m(mean), r(rstd);
    if (weight != nullptr && bias != nullptr) {
      map(y, n, [=](V v, V w, V b) { return v_fma((v - m) * r, w, b); }, x, weight, bias);
    } else if (weight != nullptr) {
      map(y, n, [=](V v, V w) { return (v - m) * r * w; }, x, weight);
    } else if (bias != nullptr) {
      map(y, n, [=](V v, V b) { return (v - m) * r + b; }, x, bias);
    } else {
      map(y, n, [=](V v) { return (v - m) * r; }, x);
    }
  }
  static void normalize_grad(const T* x, const T* d_y, T mean, T rstd, const T* weight, T* d_x, N n) {
    const V m(mean), r(rstd);
    const auto finish = [=](V v, V g, V mean_g, V mean_gh) { return r * ((g - mean_g) - (v - m) * r * mean_gh); };
    if (weight != nullptr) {
      const V a(static_cast<T>(sum_of<T>(n, [](V d, V w) { return d * w; }, d_y, weight) / double(n)));
      const V b(static_cast<T>(
          sum_of<T>(n, [=](V v, V d, V w) { return d * w * ((v - m) * r); }, x, d_y, weight) / double(n)));
      map(d_x, n, [=](V v, V d, V w) { return finish(v, d * w, a, b); }, x, d_y, weight);
    } else {
      const V a(static_cast<T>(sum_of<T>(n, [](V d) { return d; }, d_y) / double(n)));
      const V b(static_cast<T>(sum_of<T>(n, [=](V v, V d) { return d * ((v - m) * r); }, x, d_y) / double(n)));
      map(d_x, n, [=](V v, V d) { return finish(v, d, a, b); }, x, d_y);
    }
  }
  static void normalize_param_grad(const T* x, const T* d_y, T mean, T rstd, T* d_weight, T* d_bias, N n) {
    const V m(mean), r(rstd);
    if (d_weight != nullptr) {
      map(
          d_weight, n, [=](V v, V d, V s) { return v_fma(d, (v - m) * r, s); }, x, d_y,
          static_cast<const T*>(d_weight));
    }
    if (d_bias != nullptr) {
      map(d_bias, n, [](V d, V s) { return d + s; }, d_y, static_cast<const T*>(d_bias));
    }
  }

  static void keep_scale(const std::uint32_t* words, std::uint32_t threshold, T value, T* y, N n) {
    for (N i = 0; i < n; ++i) y[i] = words[i] >= threshold ? value : T(0);
  }

  static constexpr Simd<T> table() {
    const auto slope = [](auto f) {
      using F = decltype(f);
      return [](const T* x, const T* d_y, T* d_x, N n) { map(d_x, n, [](V v, V d) { return d * F()(v); }, x, d_y); };
    };
    const auto both = [](auto f) {
      using F = decltype(f);
      return [](const T* x, const T* d_y, T* y, T* d_x, N n) {
        map_to_two(
            y, d_x, n,
            [](V v, V d) {
              const Both<T> both = F()(v);
              return Both<T>{both.value, d * both.slope};
            },
            x, d_y);
      };
    };
    // Functions of a vector and one, two or three parameters.
    const auto curve = [](auto f) {
      using F = decltype(f);
      return [](const T* x, const T* p, T* y, N n) {
        if constexpr (requires(V v) { F()(v, v); }) {
          map(y, n, [a = V(p[0])](V v) { return F()(v, a); }, x);
        } else if constexpr (requires(V v) { F()(v, v, v); }) {
          map(y, n, [a = V(p[0]), b = V(p[1])](V v) { return F()(v, a, b); }, x);
        } else {
          map(y, n, [a = V(p[0]), b = V(p[1]), c = V(p[2])](V v) { return F()(v, a, b, c); }, x);
        }
      };
    };
    const auto curve_slope = [](auto f) {
      using F = decltype(f);
      return [](const T* x, const T* d_y, const T* p, T* d_x, N n) {
        if constexpr (requires(V v) { F()(v, v); }) {
          map(d_x, n, [a = V(p[0])](V v, V d) { return d * F()(v, a); }, x, d_y);
        } else if constexpr (requires(V v) { F()(v, v, v); }) {
          map(d_x, n, [a = V(p[0]), b = V(p[1])](V v, V d) { return d * F()(v, a, b); }, x, d_y);
        } else {
          map(d_x, n, [a = V(p[0]), b = V(p[1]), c = V(p[2])](V v, V d) { return d * F()(v, a, b, c); }, x, d_y);
        }
      };
    };
    return {
        .exp = unary([](V x) { return v_exp<T>(x); }),
        .expm1 = unary([](V x) { return xsimd::expm1(x); }),
        .log = unary([](V x) { return v_log<T>(x); }),
        .log1p = unary([](V x) { return xsimd::log1p(x); }),
        .tanh = unary([](V x) { return v_tanh<T>(x); }),
        .erf = unary([](V x) { return v_erf(x); }),
        .sqrt = unary([](V x) { return xsimd::sqrt(x); }),
        .reciprocal = unary([](V x) { return V(T(1)) / x; }),
        .negate = unary([](V x) { return -x; }),
        .absolute = unary([](V x) { return xsimd::abs(x); }),
        .square = unary([](V x) { return x * x; }),
        .relu = unary([](V x) { return xsimd::select(x < V(T(0)), V(T(0)), x); }),
        .floor = unary([](V x) { return xsimd::floor(x); }),
        .ceil = unary([](V x) { return xsimd::ceil(x); }),
        .round = unary([](V x) { return xsimd::nearbyint(x); }),
        .sigmoid = unary([](V x) { return v_sigmoid<T>(x).value; }),
        .silu = unary([](V x) { return x * v_sigmoid<T>(x).value; }),
        .gelu = unary([](V x) { return v_gelu(x); }),
        .gelu_tanh = unary([](V x) { return x * v_gelu_tanh_gate<T>(x).value; }),
        .log_sigmoid = unary([](V x) { return -v_log_one_plus_exp<T>(-x); }),
        .mish = unary([](V x) { return x * v_mish_gate<T>(x).value; }),
        .hardsigmoid = unary([](V x) { return v_hardsigmoid<T>(x); }),
        .hardswish = unary([](V x) { return v_hardswish<T>(x); }),
        .relu_grad = [](const T* x, const T* d_y, T* d_x,
                        N n) { map(d_x, n, [](V v, V d) { return xsimd::select(v <= V(T(0)), V(T(0)), d); }, x, d_y); },
        .silu_grad = slope([](V x) { return v_silu_both<T>(x).slope; }),
        .gelu_grad = slope([](V x) { return v_gelu_slope(x); }),
        .gelu_tanh_grad = slope([](V x) { return v_gelu_tanh_both<T>(x).slope; }),
        .tanh_grad = slope([](V x) { return v_tanh_slope<T>(x); }),
        .sigmoid_grad = slope([](V x) { return v_sigmoid<T>(x).slope; }),
        .log_sigmoid_grad = slope([](V x) { return v_sigmoid<T>(-x).value; }),
        .mish_grad = slope([](V x) { return v_mish_slope<T>(x); }),
        .hardsigmoid_grad = slope([](V x) { return v_hardsigmoid_slope<T>(x); }),
        .hardswish_grad = slope([](V x) { return v_hardswish_slope<T>(x); }),
        .gelu_both = both([](V x) { return v_gelu_both(x); }),
        .gelu_tanh_both = both([](V x) { return v_gelu_tanh_both<T>(x); }),
        .silu_both = both([](V x) { return v_silu_both<T>(x); }),
        .clamp = curve([](V x, V a, V b) { return v_clamp<T>(x, a, b); }),
        .clamp_grad = curve_slope([](V x, V a, V b) { return v_clamp_slope<T>(x, a, b); }),
        .leaky_relu = curve([](V x, V a) { return v_leaky_relu<T>(x, a); }),
        .leaky_relu_grad = curve_slope([](V x, V a) { return v_leaky_relu_slope<T>(x, a); }),
        .elu = curve([](V x, V a, V b, V c) { return v_elu<T>(x, a, b, c); }),
        .elu_grad = curve_slope([](V x, V a, V b, V c) { return v_elu_slope<T>(x, a, b, c); }),
        .softplus = curve([](V x, V a, V b) { return v_softplus<T>(x, a, b); }),
        .softplus_grad = curve_slope([](V x, V a, V b) { return v_softplus_slope<T>(x, a, b); }),
        .add = binary([](V a, V b) { return a + b; }),
        .subtract = binary([](V a, V b) { return a - b; }),
        .multiply = binary([](V a, V b) { return a * b; }),
        .divide = binary([](V a, V b) { return a / b; }),
        .maximum = binary([](V a, V b) { return v_max<T>(a, b); }),
        .minimum = binary([](V a, V b) { return v_min<T>(a, b); }),
        .scale = scale,
        .add_scalar = add_scalar,
        .axpy = axpy,
        .multiply_add = multiply_add,
        .accumulate_product = accumulate_product,
        .sum = sum,
        .dot = dot,
        .sum_squares = sum_squares,
        .sum_deviations = sum_deviations,
        .max = max,
        .sum_f64 = sum_f64,
        .dot_f64 = dot_f64,
        .sum_squares_f64 = sum_squares_f64,
        .exp_sum = exp_sum,
        .softmax_grad = softmax_grad,
        .normalize = normalize,
        .normalize_grad = normalize_grad,
        .normalize_param_grad = normalize_param_grad,
        .keep_scale = keep_scale,
    };
  }
};

constexpr SimdTables make_tables(const char* name) {
  return {.name = name,
          .f32 = Kernels<float>::table(),
          .f64 = Kernels<double>::table(),
          .bits = {.bf16_to_f32 = bf16_to_f32,
                   .f32_to_bf16 = f32_to_bf16,
                   .f16_to_f32 = f16_to_f32,
                   .f32_to_f16 = f32_to_f16,
                   .philox = philox}};
}

}  // namespace
}  // namespace weft
