#include <weft/ops/pointwise/activation_table.h>

#include <weft/ops/kit/build.h>
#include <weft/ops/pointwise/activation.h>
#include <weft/ops/pointwise/activation_curves.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>

namespace weft {
namespace {

template <class F, class T>
const T* defaults() {
  static const std::array<T, 3> p = narrowed<T>(F::parameters({}));
  return p.data();
}

template <class F>
Activation entry(std::string name, const OpDef& (*op)(), Value (*grad)(const Value&, const Value&, const Attributes&),
                 Attributes attributes = {}) {
  return {.name = std::move(name),
          .f32 = [](const float* x, float* y, std::int64_t n) { run_curve<F>(x, defaults<F, float>(), y, n); },
          .f64 = [](const double* x, double* y, std::int64_t n) { run_curve<F>(x, defaults<F, double>(), y, n); },
          .grad_f32 = [](const float* x, const float* d_y, float* d_x,
                         std::int64_t n) { run_curve_grad<F>(x, d_y, defaults<F, float>(), d_x, n); },
          .grad_f64 = [](const double* x, const double* d_y, double* d_x,
                         std::int64_t n) { run_curve_grad<F>(x, d_y, defaults<F, double>(), d_x, n); },
          .op = op,
          .grad_value = grad,
          .attributes = std::move(attributes)};
}

template <auto both_f32, auto both_f64>
Activation with_both(Activation activation) {
  activation.both_f32 = [](const float* x, const float* d_y, float* y, float* d_x, std::int64_t n) {
    (simd<float>().*both_f32)(x, d_y, y, d_x, n);
  };
  activation.both_f64 = [](const double* x, const double* d_y, double* y, double* d_x, std::int64_t n) {
    (simd<double>().*both_f64)(x, d_y, y, d_x, n);
  };
  return activation;
}
#define WEFT_BOTH(function) with_both<&Simd<float>::function, &Simd<double>::function>

template <const OpDef& (*op)()>
Value by_op(const Value& x, const Value& d_y, const Attributes& attributes) {
  return build(op(), {x, d_y}, attributes);
}

const std::vector<Activation>& table() {
  using namespace curves;
  static const std::vector<Activation> activations{
      entry<Celu>("celu", celu_op, by_op<celu_grad_op>, {{"alpha", 1.0}}),
      entry<Elu>("elu", elu_op, by_op<elu_grad_op>, {{"alpha", 1.0}}),
      WEFT_BOTH(gelu_both)(entry<Gelu>("gelu", gelu_op, by_op<gelu_grad_op>)),
      WEFT_BOTH(gelu_tanh_both)(entry<GeluTanh>("gelu_tanh", gelu_tanh_op, by_op<gelu_tanh_grad_op>)),
      entry<HardSigmoid>("hardsigmoid", hardsigmoid_op, by_op<hardsigmoid_grad_op>),
      entry<HardSwish>("hardswish", hardswish_op, by_op<hardswish_grad_op>),
      entry<HardTanh>("hardtanh", hardtanh_op, by_op<hardtanh_grad_op>, {{"min", -1.0}, {"max", 1.0}}),
      entry<LeakyRelu>("leaky_relu", leaky_relu_op, by_op<leaky_relu_grad_op>, {{"negative_slope", 0.01}}),
      entry<LogSigmoid>("logsigmoid", logsigmoid_op, by_op<logsigmoid_grad_op>),
      entry<Mish>("mish", mish_op, by_op<mish_grad_op>),
      entry<Relu>("relu", relu_op, by_op<relu_grad_op>),
      entry<Relu6>("relu6", relu6_op, by_op<relu6_grad_op>),
      entry<Selu>("selu", selu_op, by_op<selu_grad_op>),
      entry<Sigmoid>("sigmoid", sigmoid_op,
                     [](const Value& x, const Value& d_y, const Attributes&) {
                       const Value s = sigmoid(x);
                       return d_y * (s * (1.0 - s));
                     }),
      WEFT_BOTH(silu_both)(entry<Silu>("silu", silu_op, by_op<silu_grad_op>)),
      entry<Softplus>("softplus", softplus_op, by_op<softplus_grad_op>, {{"beta", 1.0}, {"threshold", 20.0}}),
      entry<Tanh>("tanh", tanh_op,
                  [](const Value& x, const Value& d_y, const Attributes&) { return d_y * (1.0 - square(tanh(x))); }),
  };
  return activations;
}
#undef WEFT_BOTH

}  // namespace

Value Activation::value(const Value& x) const { return build(op(), {x}, attributes); }

const Activation& activation_of(const Attributes& attributes) {
  const std::string& name = attributes.text("activation");
  std::string names;
  for (const Activation& activation : table()) {
    if (activation.name == name) return activation;
    names += (names.empty() ? "" : ", ") + activation.name;
  }
  WEFT_FAIL("unknown activation '{}': expected one of {}", name, names);
}

}  // namespace weft
