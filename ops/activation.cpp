#include <weft/ops/activation.h>

#include <weft/graph/registry.h>
#include <weft/ops/arithmetic.h>
#include <weft/ops/build.h>
#include <weft/ops/creation.h>
#include <weft/ops/pointwise.h>
#include <weft/ops/rules.h>
#include <weft/ops/unary.h>
#include <weft/runtime/simd.h>

#include <cmath>
#include <numbers>

namespace weft {
namespace {

constexpr double root_2_over_pi = 0.79788456080286535588;
constexpr double cubic = 0.044715;

// A vector function of the table, as the two forms that kernels take: y = f(x) and d_x = d_y f'(x).
template <class T, typename Simd<T>::Unary Simd<T>::*f>
void apply(const T* x, T* y, std::int64_t n) {
  (simd<T>().*f)(x, y, n);
}

template <typename Simd<float>::Unary Simd<float>::*narrow_f, typename Simd<double>::Unary Simd<double>::*wide_f>
struct Forward {
  static void run(const float* x, float* y, std::int64_t n) { apply<float, narrow_f>(x, y, n); }
  static void run(const double* x, double* y, std::int64_t n) { apply<double, wide_f>(x, y, n); }
};

template <class T, typename Simd<Compute<T>>::UnaryGrad Simd<Compute<T>>::*f>
void grad_kernel(KernelContext& k) {
  const T* x = k.in<T>(0);
  const T* d_y = k.in<T>(1);
  T* d_x = k.out<T>(0);
  for_tiles(k.out_type(0).count(), [&](std::int64_t begin, std::int64_t n) {
    if constexpr (is_half<T>) {
      float xs[half_block], ds[half_block];
      for (std::int64_t i = begin; i < begin + n; i += half_block) {
        const std::int64_t m = std::min(half_block, begin + n - i);
        widen(x + i, xs, m);
        widen(d_y + i, ds, m);
        (simd<float>().*f)(xs, ds, ds, m);
        narrow(ds, d_x + i, m);
      }
    } else {
      (simd<T>().*f)(x + begin, d_y + begin, d_x + begin, n);
    }
  });
}

template <typename Simd<float>::UnaryGrad Simd<float>::*narrow_f, typename Simd<double>::UnaryGrad Simd<double>::*wide_f>
std::vector<Kernel> grad_kernels() {
  return {{.dtype = f32, .run = grad_kernel<float, narrow_f>},
          {.dtype = f64, .run = grad_kernel<double, wide_f>},
          {.dtype = bf16, .run = grad_kernel<bfloat16, narrow_f>},
          {.dtype = f16, .run = grad_kernel<float16, narrow_f>}};
}

// Away from 0 for relu, whose kink finite differences would straddle.
std::vector<Sample> samples(double low, double high) {
  return {{{sample::uniform({3, 5}, low, high).batched(0)}, {}},
          {{sample::uniform({2, 4, 9}, -high, -low).batched(1)}, {}},
          {{sample::normal({3, 6001})}, {}, false},
          {{sample::extremes({2, 40})}, {}, false}};
}

std::vector<Sample> grad_samples(double low, double high) {
  return {{{sample::uniform({3, 5}, low, high).batched(0), sample::normal({3, 5}).batched(0)}, {}},
          {{sample::uniform({4, 7}, -high, -low).batched(1), sample::normal({4, 7}).batched(1)}, {}},
          {{sample::normal({3, 6001}), sample::normal({3, 6001})}, {}, false}};
}

std::vector<TensorType> infer_grad(const OpView& view) {
  expect_float(view, 0);
  WEFT_CHECK(view.type(0) == view.type(1), "x and d_y must be of one type, got {} and {}", view.type(0).str(),
             view.type(1).str());
  return {view.type(0)};
}

OpDef activation(std::string name, std::string law, BackwardRule backward, PlainRule plain,
                 std::vector<Kernel> kernels, double low = -3, double high = 3) {
  return {.name = std::move(name),
          .law = std::move(law),
          .infer = same_as_float_input,
          .batch = same_axis,
          .backward = std::move(backward),
          .plain = std::move(plain),
          .traits = {.pointwise = true, .in_place = {{0, 0}}},
          .kernels = std::move(kernels),
          .samples = samples(low, high),
          .bad_samples = {{{{i64, {3}}}, {}, "floating type"}}};
}

// Differentiated again through its plain definition.
OpDef activation_grad(std::string name, std::string law, PlainRule plain, std::vector<Kernel> kernels,
                      double low = -3, double high = 3) {
  return {.name = std::move(name),
          .law = std::move(law),
          .least_inputs = 2,
          .most_inputs = 2,
          .infer = infer_grad,
          .batch = same_axis,
          .plain = std::move(plain),
          .traits = {.pointwise = true, .in_place = {{0, 1}, {0, 0}}},
          .kernels = std::move(kernels),
          .samples = grad_samples(low, high),
          .bad_samples = {{{{f32, {3}}, {f32, {4}}}, {}, "of one type"}, {{{i64, {3}}, {i64, {3}}}, {}, "floating type"}}};
}

Value phi(const Value& x) { return 0.5 * (1.0 + erf(x * std::numbers::sqrt2 / 2.0)); }
Value inner(const Value& x) { return tanh((x + x * x * x * cubic) * root_2_over_pi); }

}  // namespace

// --- relu: y = max(x, 0); d_x = d_y [x > 0] ---

const OpDef& relu_op() {
  static const OpDef op = activation(
      "relu", "y = max(x, 0)", [](Backward& b) { b.input(0, relu_grad(b.in(0), b.cotangent(0))); }, {},
      unary_kernels<Forward<&Simd<float>::relu, &Simd<double>::relu>>(), 0.1, 3);
  return op;
}

const OpDef& relu_grad_op() {
  static const OpDef op = activation_grad(
      "relu_grad", "d_x = d_y [x > 0]",
      [](const Plain& p) -> Values { return where(greater(p.in[0], 0.0), p.in[1], zeros_like(p.in[1])); },
      grad_kernels<&Simd<float>::relu_grad, &Simd<double>::relu_grad>(), 0.1, 3);
  return op;
}

// --- gelu: y = x Phi(x); d_x = d_y (Phi(x) + x phi(x)) ---

const OpDef& gelu_op() {
  static const OpDef op = activation(
      "gelu", "y = x Phi(x)", [](Backward& b) { b.input(0, gelu_grad(b.in(0), b.cotangent(0))); },
      [](const Plain& p) -> Values { return p.in[0] * phi(p.in[0]); },
      unary_kernels<Forward<&Simd<float>::gelu, &Simd<double>::gelu>>());
  return op;
}

const OpDef& gelu_grad_op() {
  static const OpDef op = activation_grad(
      "gelu_grad", "d_x = d_y (Phi(x) + x phi(x))",
      [](const Plain& p) -> Values {
        const Value& x = p.in[0];
        const double norm = 1.0 / std::sqrt(2.0 * std::numbers::pi);
        return p.in[1] * (phi(x) + x * exp(x * x * -0.5) * norm);
      },
      grad_kernels<&Simd<float>::gelu_grad, &Simd<double>::gelu_grad>());
  return op;
}

// --- gelu_tanh: y = x/2 (1 + t), t = tanh(u), u = sqrt(2/pi) (x + c x^3);
//     d_x = d_y (1 + t + x (1 - t^2) u') / 2, u' = sqrt(2/pi) (1 + 3 c x^2) ---

const OpDef& gelu_tanh_op() {
  static const OpDef op = activation(
      "gelu_tanh", "y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))",
      [](Backward& b) { b.input(0, gelu_tanh_grad(b.in(0), b.cotangent(0))); },
      [](const Plain& p) -> Values { return p.in[0] * 0.5 * (1.0 + inner(p.in[0])); },
      unary_kernels<Forward<&Simd<float>::gelu_tanh, &Simd<double>::gelu_tanh>>());
  return op;
}

const OpDef& gelu_tanh_grad_op() {
  static const OpDef op = activation_grad(
      "gelu_tanh_grad", "d_x = d_y (1 + t + x (1 - t^2) u') / 2, t = tanh(u), u = sqrt(2/pi) (x + 0.044715 x^3)",
      [](const Plain& p) -> Values {
        const Value& x = p.in[0];
        const Value t = inner(x);
        const Value slope = (1.0 + x * x * (3.0 * cubic)) * root_2_over_pi;
        return p.in[1] * 0.5 * (1.0 + t + x * (1.0 - t * t) * slope);
      },
      grad_kernels<&Simd<float>::gelu_tanh_grad, &Simd<double>::gelu_tanh_grad>());
  return op;
}

// --- silu: y = x s, s = sigmoid(x); d_x = d_y s (1 + x (1 - s)) ---

const OpDef& silu_op() {
  static const OpDef op = activation(
      "silu", "y = x / (1 + e^-x)", [](Backward& b) { b.input(0, silu_grad(b.in(0), b.cotangent(0))); },
      [](const Plain& p) -> Values { return p.in[0] * sigmoid(p.in[0]); },
      unary_kernels<Forward<&Simd<float>::silu, &Simd<double>::silu>>());
  return op;
}

const OpDef& silu_grad_op() {
  static const OpDef op = activation_grad(
      "silu_grad", "d_x = d_y s (1 + x (1 - s)), s = sigmoid(x)",
      [](const Plain& p) -> Values {
        const Value s = sigmoid(p.in[0]);
        return p.in[1] * s * (1.0 + p.in[0] * (1.0 - s));
      },
      grad_kernels<&Simd<float>::silu_grad, &Simd<double>::silu_grad>());
  return op;
}

Value relu(const Arg& x) { return build(relu_op(), {x}); }
Value gelu(const Arg& x, const GeluOptions& options) {
  WEFT_CHECK(options.approximate == "none" || options.approximate == "tanh",
             "gelu's approximate must be 'none' or 'tanh', got '{}'", options.approximate);
  return build(options.approximate == "tanh" ? gelu_tanh_op() : gelu_op(), {x});
}
Value gelu_tanh(const Arg& x) { return build(gelu_tanh_op(), {x}); }
Value silu(const Arg& x) { return build(silu_op(), {x}); }
Value relu_grad(const Arg& x, const Arg& d_y) { return build(relu_grad_op(), {x, d_y}); }
Value gelu_grad(const Arg& x, const Arg& d_y) { return build(gelu_grad_op(), {x, d_y}); }
Value gelu_tanh_grad(const Arg& x, const Arg& d_y) { return build(gelu_tanh_grad_op(), {x, d_y}); }
Value silu_grad(const Arg& x, const Arg& d_y) { return build(silu_grad_op(), {x, d_y}); }

void register_activation() {
  for (const OpDef* op : {&relu_op(), &gelu_op(), &gelu_tanh_op(), &silu_op(), &relu_grad_op(), &gelu_grad_op(),
                          &gelu_tanh_grad_op(), &silu_grad_op()})
    registry().add(*op);
}

}  // namespace weft
