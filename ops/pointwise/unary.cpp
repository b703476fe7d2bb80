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

namespace weft {
namespace {

const Traits in_place{.pointwise = true, .in_place = {{0, 0}}};
// Of ops that leave f16's range or cancel: PyTorch's autocast widens them too (on CUDA).
const Traits in_place_f32{.pointwise = true, .in_place = {{0, 0}}, .precision = Precision::f32};

std::vector<Sample> between(double low, double high) {
  return {{{sample::uniform({3, 5}, low, high).batched(0)}, {}},
          {{sample::uniform({4, 1, 9}, low, high).batched(2)}, {}},
          {{sample::uniform({}, low, high)}, {}},
          {{sample::uniform({3, 6001}, low, high)}, {}, false},
          {{sample::extremes({2, 40})}, {}, false}};
}

const std::vector<BadSample> bad{{{{i64, {3}}}, {}, "floating type"}};

}  // namespace

// d_x = d_y y
struct Exp {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().exp(x, y, n);
  }
};
const OpDef& exp_op() {
  static const OpDef op{
      .name = "exp",
      .law = "y = e^x",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) * b.out(0)); },
      .reference = law_of([](double x) { return std::exp(x); }),
      .traits = in_place_f32,
      .kernels = unary_kernels<Exp>(),
      .samples = between(-2, 2),
      .bad_samples = bad,
  };
  return op;
}

// d_x = d_y (y + 1)
struct Expm1 {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().expm1(x, y, n);
  }
};
const OpDef& expm1_op() {
  static const OpDef op{
      .name = "expm1",
      .law = "y = e^x - 1",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) * (b.out(0) + 1.0)); },
      .reference = law_of([](double x) { return std::expm1(x); }),
      .traits = {.pointwise = true, .cheap = false, .in_place = {{0, 0}}, .precision = Precision::f32},
      .kernels = unary_kernels<Expm1>(),
      .samples = between(-2, 2),
      .bad_samples = bad,
  };
  return op;
}

// d_x = d_y / x
struct Log {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().log(x, y, n);
  }
};
const OpDef& log_op() {
  static const OpDef op{
      .name = "log",
      .law = "y = log(x)",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) / b.in(0)); },
      .reference = law_of([](double x) { return std::log(x); }),
      .traits = in_place_f32,
      .kernels = unary_kernels<Log>(),
      .samples = between(0.5, 3),
      .bad_samples = bad,
  };
  return op;
}

// d_x = d_y / (1 + x)
struct Log1p {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().log1p(x, y, n);
  }
};
const OpDef& log1p_op() {
  static const OpDef op{
      .name = "log1p",
      .law = "y = log(1 + x)",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) / (b.in(0) + 1.0)); },
      .reference = law_of([](double x) { return std::log1p(x); }),
      .traits = {.pointwise = true, .cheap = false, .in_place = {{0, 0}}, .precision = Precision::f32},
      .kernels = unary_kernels<Log1p>(),
      .samples = between(-0.5, 2),
      .bad_samples = bad,
  };
  return op;
}

// d_x = d_y / (2 y)
struct Sqrt {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().sqrt(x, y, n);
  }
};
const OpDef& sqrt_op() {
  static const OpDef op{
      .name = "sqrt",
      .law = "y = sqrt(x)",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) / (b.out(0) * 2.0)); },
      .reference = law_of([](double x) { return std::sqrt(x); }),
      .traits = in_place,
      .kernels = unary_kernels<Sqrt>(),
      .samples = between(0.5, 3),
      .bad_samples = bad,
  };
  return op;
}

// d_x = -d_y y^3 / 2
struct Rsqrt {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = T(1) / std::sqrt(x[i]);
  }
};
const OpDef& rsqrt_op() {
  static const OpDef op{
      .name = "rsqrt",
      .law = "y = 1 / sqrt(x)",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) * (b.out(0) * square(b.out(0))) * -0.5); },
      .reference = law_of([](double x) { return 1 / std::sqrt(x); }),
      .traits = in_place_f32,
      .kernels = unary_kernels<Rsqrt>(),
      .samples = between(0.5, 3),
      .bad_samples = bad,
  };
  return op;
}

// d_x = -d_y y^2
struct Reciprocal {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().reciprocal(x, y, n);
  }
};
const OpDef& reciprocal_op() {
  static const OpDef op{
      .name = "reciprocal",
      .law = "y = 1 / x",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, -(b.cotangent(0) * square(b.out(0)))); },
      .reference = law_of([](double x) { return 1 / x; }),
      .traits = in_place_f32,
      .kernels = unary_kernels<Reciprocal>(),
      .samples = between(0.5, 3),
      .bad_samples = bad,
  };
  return op;
}

// d_x = 2 d_y x
struct Square {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().square(x, y, n);
  }
};
const OpDef& square_op() {
  static const OpDef op{
      .name = "square",
      .law = "y = x^2",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) * (b.in(0) * 2.0)); },
      .reference = law_of([](double x) { return x * x; }),
      .traits = in_place_f32,
      .kernels = unary_kernels<Square>(),
      .samples = between(-2, 2),
      .bad_samples = bad,
  };
  return op;
}

// d_x = d_y (1 - y^2)
struct Tanh {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().tanh(x, y, n);
  }
};
const OpDef& tanh_op() {
  static const OpDef op{
      .name = "tanh",
      .law = "y = tanh(x)",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) * (1.0 - square(b.out(0)))); },
      .reference = law_of([](double x) { return std::tanh(x); }),
      .traits = in_place,
      .kernels = unary_kernels<Tanh>(),
      .samples = between(-2, 2),
      .bad_samples = bad,
  };
  return op;
}

// d_x = d_y y (1 - y)
struct Sigmoid {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().sigmoid(x, y, n);
  }
};
const OpDef& sigmoid_op() {
  static const OpDef op{
      .name = "sigmoid",
      .law = "y = 1 / (1 + e^-x)",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) * (b.out(0) * (1.0 - b.out(0)))); },
      .reference = law_of([](double x) { return 1 / (1 + std::exp(-x)); }),
      .traits = in_place,
      .kernels = unary_kernels<Sigmoid>(),
      .samples = between(-3, 3),
      .bad_samples = bad,
  };
  return op;
}

// d_x = d_y 2 / sqrt(pi) e^(-x^2)
struct Erf {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().erf(x, y, n);
  }
};
const OpDef& erf_op() {
  static const OpDef op{
      .name = "erf",
      .law = "y = erf(x)",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward =
          [](Backward& b) { b.input(0, b.cotangent(0) * (exp(-square(b.in(0))) * (2.0 * std::numbers::inv_sqrtpi))); },
      .reference = law_of([](double x) { return std::erf(x); }),
      .traits = in_place,
      .kernels = unary_kernels<Erf>(),
      .samples = between(-2, 2),
      .bad_samples = bad,
  };
  return op;
}

// d_x = d_y cos(x)
struct Sin {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = std::sin(x[i]);
  }
};
const OpDef& sin_op() {
  static const OpDef op{
      .name = "sin",
      .law = "y = sin(x)",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) * cos(b.in(0))); },
      .reference = law_of([](double x) { return std::sin(x); }),
      .traits = {.pointwise = true, .cheap = false, .in_place = {{0, 0}}},
      .kernels = unary_kernels<Sin>(),
      .samples = between(-3, 3),
      .bad_samples = bad,
  };
  return op;
}

// d_x = -d_y sin(x)
struct Cos {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = std::cos(x[i]);
  }
};
const OpDef& cos_op() {
  static const OpDef op{
      .name = "cos",
      .law = "y = cos(x)",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, -(b.cotangent(0) * sin(b.in(0)))); },
      .reference = law_of([](double x) { return std::cos(x); }),
      .traits = {.pointwise = true, .cheap = false, .in_place = {{0, 0}}},
      .kernels = unary_kernels<Cos>(),
      .samples = between(-3, 3),
      .bad_samples = bad,
  };
  return op;
}

// d_x = 0
struct Floor {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().floor(x, y, n);
  }
};
const OpDef& floor_op() {
  static const OpDef op{
      .name = "floor",
      .law = "y = floor(x)",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = no_gradient,
      .reference = law_of([](double x) { return std::floor(x); }),
      .traits = in_place,
      .kernels = unary_kernels<Floor>(),
      .samples = between(0.1, 0.9),
      .bad_samples = bad,
  };
  return op;
}

// d_x = 0
struct Ceil {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().ceil(x, y, n);
  }
};
const OpDef& ceil_op() {
  static const OpDef op{
      .name = "ceil",
      .law = "y = ceil(x)",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = no_gradient,
      .reference = law_of([](double x) { return std::ceil(x); }),
      .traits = in_place,
      .kernels = unary_kernels<Ceil>(),
      .samples = between(0.1, 0.9),
      .bad_samples = bad,
  };
  return op;
}

// d_x = 0
struct Round {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
    simd<T>().round(x, y, n);
  }
};
const OpDef& round_op() {
  static const OpDef op{
      .name = "round",
      .law = "y = the whole number nearest to x, of two the even one",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = no_gradient,
      .reference = law_of([](double x) { return std::nearbyint(x); }),
      .traits = in_place,
      .kernels = unary_kernels<Round>(),
      .samples = between(0.6, 1.4),
      .bad_samples = bad,
  };
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
