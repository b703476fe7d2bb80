// Turns an activation into a pair of ops: y = f(x) and d_x = d_y f'(x), each one pass in vector code.
// Not in <weft/weft.h>.
//
// An activation is a struct F that names its two vector functions and the parameters they take:
//
//   struct LeakyRelu {
//     template <class T> static constexpr auto run = &Simd<T>::leaky_relu;
//     template <class T> static constexpr auto slope = &Simd<T>::leaky_relu_grad;
//     static CurveParameters parameters(const Attributes& a) { return {a.get_or<double>("negative_slope", 0.01)}; }
//   };
#pragma once

#include <weft/graph/op_def.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/runtime/simd/simd.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

namespace weft {

using CurveParameters = std::array<double, 3>;

/// Base of activations without parameters.
struct NoParameters {
  static CurveParameters parameters(const Attributes&) { return {}; }
};

/// y = f(x; p) and d_x = d_y f'(x; p) over a span; outputs may alias inputs.
template <class F, class T>
void run_curve(const T* x, const T* p, T* y, std::int64_t n) {
  const auto f = simd<T>().*(F::template run<T>);
  if constexpr (requires { f(x, p, y, n); }) f(x, p, y, n);
  else f(x, y, n);
}
template <class F, class T>
void run_curve_grad(const T* x, const T* d_y, const T* p, T* d_x, std::int64_t n) {
  const auto f = simd<T>().*(F::template slope<T>);
  if constexpr (requires { f(x, d_y, p, d_x, n); }) f(x, d_y, p, d_x, n);
  else f(x, d_y, d_x, n);
}

template <class T>
std::array<T, 3> narrowed(const CurveParameters& p) {
  return {static_cast<T>(p[0]), static_cast<T>(p[1]), static_cast<T>(p[2])};
}

template <class F, class T>
void activation_kernel(KernelContext& k) {
  using C = Wide<T>;
  const std::array<C, 3> p = narrowed<C>(F::parameters(k.attributes()));
  const T* x = k.in<T>(0);
  T* y = k.out<T>(0);
  for_tiles(k.out_type(0).count(), [&](std::int64_t begin, std::int64_t n) {
    if constexpr (is_narrow<T>) {
      float block[narrow_block];
      for (std::int64_t i = begin; i < begin + n; i += narrow_block) {
        const std::int64_t m = std::min(narrow_block, begin + n - i);
        widen(x + i, block, m);
        run_curve<F, float>(block, p.data(), block, m);
        narrow(block, y + i, m);
      }
    } else {
      run_curve<F, T>(x + begin, p.data(), y + begin, n);
    }
  });
}

template <class F, class T>
void activation_grad_kernel(KernelContext& k) {
  using C = Wide<T>;
  const std::array<C, 3> p = narrowed<C>(F::parameters(k.attributes()));
  const T* x = k.in<T>(0);
  const T* d_y = k.in<T>(1);
  T* d_x = k.out<T>(0);
  for_tiles(k.out_type(0).count(), [&](std::int64_t begin, std::int64_t n) {
    if constexpr (is_narrow<T>) {
      float xs[narrow_block], ds[narrow_block];
      for (std::int64_t i = begin; i < begin + n; i += narrow_block) {
        const std::int64_t m = std::min(narrow_block, begin + n - i);
        widen(x + i, xs, m);
        widen(d_y + i, ds, m);
        run_curve_grad<F, float>(xs, ds, p.data(), ds, m);
        narrow(ds, d_x + i, m);
      }
    } else {
      run_curve_grad<F, T>(x + begin, d_y + begin, p.data(), d_x + begin, n);
    }
  });
}

template <class F>
std::vector<Kernel> activation_kernels() {
  return {{.dtype = f32, .run = activation_kernel<F, float>},
          {.dtype = f64, .run = activation_kernel<F, double>},
          {.dtype = bf16, .run = activation_kernel<F, bfloat16>},
          {.dtype = f16, .run = activation_kernel<F, float16>}};
}
template <class F>
std::vector<Kernel> activation_grad_kernels() {
  return {{.dtype = f32, .run = activation_grad_kernel<F, float>},
          {.dtype = f64, .run = activation_grad_kernel<F, double>},
          {.dtype = bf16, .run = activation_grad_kernel<F, bfloat16>},
          {.dtype = f16, .run = activation_grad_kernel<F, float16>}};
}

/// Intervals in which an activation is smooth, so that finite differences do not straddle a kink.
using Intervals = std::vector<std::pair<double, double>>;

/// An activation for documentation and tests: its name, its formula and its samples.
struct ActivationText {
  std::string name;
  std::string law;
  Attributes attributes = {};  ///< of the samples
  Intervals smooth = {{-3, 3}, {-9, -1}};
  std::vector<BadSample> bad_samples = {};  ///< besides integers
  void (*check)(const Attributes&) = nullptr;
};

/// The op y = f(x), whose backward builds `grad`, and that op: (x, d_y) -> d_x, differentiated again through `plain`.
OpDef activation(ActivationText text, const OpDef& (*grad)(), PlainRule plain, std::vector<Kernel> kernels);
OpDef activation_grad(ActivationText text, PlainRule plain, std::vector<Kernel> kernels);

}  // namespace weft
