#include <weft/ops/pointwise/unary.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/runtime/simd/simd.h>

#include <cmath>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

namespace weft {
namespace {

const Traits in_place{.pointwise = true, .in_place = {{0, 0}}};
const Traits costly{.pointwise = true, .cheap = false, .in_place = {{0, 0}}};
// Of ops that leave f16's range or cancel: PyTorch's autocast widens them too (on CUDA).
const Traits in_place_f32{.pointwise = true, .in_place = {{0, 0}}, .precision = Precision::f32};
const Traits costly_f32{.pointwise = true, .cheap = false, .in_place = {{0, 0}}, .precision = Precision::f32};

// What tells one op y = f(x) from the others.
struct Unary {
  std::string name, law;
  BackwardRule backward;
  double (*reference)(double);
  Traits traits = in_place;
  std::pair<double, double> smooth;  ///< where finite differences make sense
};

std::vector<Sample> between(double low, double high) {
  return {{{sample::uniform({3, 5}, low, high).batched(0)}, {}},
          {{sample::uniform({4, 1, 9}, low, high).batched(2)}, {}},
          {{sample::uniform({}, low, high)}, {}},
          {{sample::uniform({3, 6001}, low, high)}, {}, false},
          {{sample::extremes({2, 40})}, {}, false}};
}

OpDef unary(Unary f, std::vector<Kernel> kernels) {
  return {.name = std::move(f.name),
          .law = std::move(f.law),
          .infer = same_as_float_input,
          .batch = same_axis,
          .backward = std::move(f.backward),
          .reference = law_of(f.reference),
          .traits = std::move(f.traits),
          .kernels = std::move(kernels),
          .samples = between(f.smooth.first, f.smooth.second),
          .bad_samples = {{{{i64, {3}}}, {}, "floating type"}}};
}

template <class F>
struct Spans {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    F{}(x, y, n);
  }
};
// `F` computes n elements of y from those of x; they may be the same.
template <class F>
OpDef unary(Unary f, F) {
  return unary(std::move(f), unary_kernels<Spans<F>>());
}

template <class T, class F>
void each(const T* x, T* y, std::int64_t n, F f) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) y[i] = f(x[i]);
}

}  // namespace

// d_x = d_y y
const OpDef& exp_op() {
  static const OpDef op = unary({.name = "exp",
                                 .law = "y = e^x",
                                 .backward = [](Backward& b) { b.input(0, b.cotangent(0) * b.out(0)); },
                                 .reference = [](double x) { return std::exp(x); },
                                 .traits = in_place_f32,
                                 .smooth = {-2, 2}},
                                []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().exp(x, y, n); });
  return op;
}

// d_x = d_y (y + 1)
const OpDef& expm1_op() {
  static const OpDef op = unary({.name = "expm1",
                                 .law = "y = e^x - 1",
                                 .backward = [](Backward& b) { b.input(0, b.cotangent(0) * (b.out(0) + 1.0)); },
                                 .reference = [](double x) { return std::expm1(x); },
                                 .traits = costly_f32,
                                 .smooth = {-2, 2}},
                                []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().expm1(x, y, n); });
  return op;
}

// d_x = d_y / x
const OpDef& log_op() {
  static const OpDef op = unary({.name = "log",
                                 .law = "y = log(x)",
                                 .backward = [](Backward& b) { b.input(0, b.cotangent(0) / b.in(0)); },
                                 .reference = [](double x) { return std::log(x); },
                                 .traits = in_place_f32,
                                 .smooth = {0.5, 3}},
                                []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().log(x, y, n); });
  return op;
}

// d_x = d_y / (1 + x)
const OpDef& log1p_op() {
  static const OpDef op = unary({.name = "log1p",
                                 .law = "y = log(1 + x)",
                                 .backward = [](Backward& b) { b.input(0, b.cotangent(0) / (b.in(0) + 1.0)); },
                                 .reference = [](double x) { return std::log1p(x); },
                                 .traits = costly_f32,
                                 .smooth = {-0.5, 2}},
                                []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().log1p(x, y, n); });
  return op;
}

// d_x = d_y / (2 y)
const OpDef& sqrt_op() {
  static const OpDef op = unary({.name = "sqrt",
                                 .law = "y = sqrt(x)",
                                 .backward = [](Backward& b) { b.input(0, b.cotangent(0) / (b.out(0) * 2.0)); },
                                 .reference = [](double x) { return std::sqrt(x); },
                                 .smooth = {0.5, 3}},
                                []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().sqrt(x, y, n); });
  return op;
}

// d_x = -d_y y^3 / 2
const OpDef& rsqrt_op() {
  static const OpDef op =
      unary({.name = "rsqrt",
             .law = "y = 1 / sqrt(x)",
             .backward = [](Backward& b) { b.input(0, b.cotangent(0) * (b.out(0) * square(b.out(0))) * -0.5); },
             .reference = [](double x) { return 1 / std::sqrt(x); },
             .traits = in_place_f32,
             .smooth = {0.5, 3}},
            []<class T>(const T* x, T* y, std::int64_t n) { each(x, y, n, [](T v) { return T(1) / std::sqrt(v); }); });
  return op;
}

// d_x = -d_y y^2
const OpDef& reciprocal_op() {
  static const OpDef op = unary({.name = "reciprocal",
                                 .law = "y = 1 / x",
                                 .backward = [](Backward& b) { b.input(0, -(b.cotangent(0) * square(b.out(0)))); },
                                 .reference = [](double x) { return 1 / x; },
                                 .traits = in_place_f32,
                                 .smooth = {0.5, 3}},
                                []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().reciprocal(x, y, n); });
  return op;
}

// d_x = 2 d_y x
const OpDef& square_op() {
  static const OpDef op = unary({.name = "square",
                                 .law = "y = x^2",
                                 .backward = [](Backward& b) { b.input(0, b.cotangent(0) * (b.in(0) * 2.0)); },
                                 .reference = [](double x) { return x * x; },
                                 .traits = in_place_f32,
                                 .smooth = {-2, 2}},
                                []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().square(x, y, n); });
  return op;
}

// d_x = d_y (1 - y^2)
const OpDef& tanh_op() {
  static const OpDef op = unary({.name = "tanh",
                                 .law = "y = tanh(x)",
                                 .backward = [](Backward& b) { b.input(0, b.cotangent(0) * (1.0 - square(b.out(0)))); },
                                 .reference = [](double x) { return std::tanh(x); },
                                 .smooth = {-2, 2}},
                                []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().tanh(x, y, n); });
  return op;
}

// d_x = d_y y (1 - y)
const OpDef& sigmoid_op() {
  static const OpDef op =
      unary({.name = "sigmoid",
             .law = "y = 1 / (1 + e^-x)",
             .backward = [](Backward& b) { b.input(0, b.cotangent(0) * (b.out(0) * (1.0 - b.out(0)))); },
             .reference = [](double x) { return 1 / (1 + std::exp(-x)); },
             .smooth = {-3, 3}},
            []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().sigmoid(x, y, n); });
  return op;
}

// d_x = d_y 2 / sqrt(pi) e^(-x^2)
const OpDef& erf_op() {
  static const OpDef op = unary(
      {.name = "erf",
       .law = "y = erf(x)",
       .backward =
           [](Backward& b) { b.input(0, b.cotangent(0) * (exp(-square(b.in(0))) * (2.0 * std::numbers::inv_sqrtpi))); },
       .reference = [](double x) { return std::erf(x); },
       .smooth = {-2, 2}},
      []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().erf(x, y, n); });
  return op;
}

// d_x = d_y cos(x)
const OpDef& sin_op() {
  static const OpDef op =
      unary({.name = "sin",
             .law = "y = sin(x)",
             .backward = [](Backward& b) { b.input(0, b.cotangent(0) * cos(b.in(0))); },
             .reference = [](double x) { return std::sin(x); },
             .traits = costly,
             .smooth = {-3, 3}},
            []<class T>(const T* x, T* y, std::int64_t n) { each(x, y, n, [](T v) { return std::sin(v); }); });
  return op;
}

// d_x = -d_y sin(x)
const OpDef& cos_op() {
  static const OpDef op =
      unary({.name = "cos",
             .law = "y = cos(x)",
             .backward = [](Backward& b) { b.input(0, -(b.cotangent(0) * sin(b.in(0)))); },
             .reference = [](double x) { return std::cos(x); },
             .traits = costly,
             .smooth = {-3, 3}},
            []<class T>(const T* x, T* y, std::int64_t n) { each(x, y, n, [](T v) { return std::cos(v); }); });
  return op;
}

// d_x = 0
const OpDef& floor_op() {
  static const OpDef op = unary({.name = "floor",
                                 .law = "y = floor(x)",
                                 .backward = no_gradient,
                                 .reference = [](double x) { return std::floor(x); },
                                 .smooth = {0.1, 0.9}},
                                []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().floor(x, y, n); });
  return op;
}

// d_x = 0
const OpDef& ceil_op() {
  static const OpDef op = unary({.name = "ceil",
                                 .law = "y = ceil(x)",
                                 .backward = no_gradient,
                                 .reference = [](double x) { return std::ceil(x); },
                                 .smooth = {0.1, 0.9}},
                                []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().ceil(x, y, n); });
  return op;
}

// d_x = 0
const OpDef& round_op() {
  static const OpDef op = unary({.name = "round",
                                 .law = "y = the whole number nearest to x, of two the even one",
                                 .backward = no_gradient,
                                 .reference = [](double x) { return std::nearbyint(x); },
                                 .smooth = {0.6, 1.4}},
                                []<class T>(const T* x, T* y, std::int64_t n) { simd<T>().round(x, y, n); });
  return op;
}

Value exp(const Arg& x) { return build(exp_op(), {x}); }
Value expm1(const Arg& x) { return build(expm1_op(), {x}); }
Value log(const Arg& x) { return build(log_op(), {x}); }
Value log1p(const Arg& x) { return build(log1p_op(), {x}); }
Value sqrt(const Arg& x) { return build(sqrt_op(), {x}); }
Value rsqrt(const Arg& x) { return build(rsqrt_op(), {x}); }
Value reciprocal(const Arg& x) { return build(reciprocal_op(), {x}); }
Value square(const Arg& x) { return build(square_op(), {x}); }
Value tanh(const Arg& x) { return build(tanh_op(), {x}); }
Value sigmoid(const Arg& x) { return build(sigmoid_op(), {x}); }
Value erf(const Arg& x) { return build(erf_op(), {x}); }
Value sin(const Arg& x) { return build(sin_op(), {x}); }
Value cos(const Arg& x) { return build(cos_op(), {x}); }
Value floor(const Arg& x) { return build(floor_op(), {x}); }
Value ceil(const Arg& x) { return build(ceil_op(), {x}); }
Value round(const Arg& x) { return build(round_op(), {x}); }

void register_unary() {
  for (const OpDef* op :
       {&exp_op(), &expm1_op(), &log_op(), &log1p_op(), &sqrt_op(), &rsqrt_op(), &reciprocal_op(), &square_op(),
        &tanh_op(), &sigmoid_op(), &erf_op(), &sin_op(), &cos_op(), &floor_op(), &ceil_op(), &round_op()})
    registry().add(*op);
}

}  // namespace weft
