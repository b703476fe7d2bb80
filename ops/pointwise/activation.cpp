#include <weft/ops/pointwise/activation.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/pointwise/activation_curves.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/shape/creation.h>

#include <cmath>
#include <numbers>

namespace weft {
namespace {

constexpr double root_2_over_pi = 0.79788456080286535588;
constexpr double cubic = 0.044715;

const Intervals away_from_0{{0.1, 3}, {-3, -0.1}};

Value phi(const Value& x) { return 0.5 * (1.0 + erf(x * std::numbers::sqrt2 / 2.0)); }
Value inner(const Value& x) { return tanh((x + x * x * x * cubic) * root_2_over_pi); }

}  // namespace

// --- relu: y = max(x, 0); d_x = d_y [x > 0] ---

const OpDef& relu_op() {
  static const OpDef op = activation(
      {.name = "relu", .law = "y = max(x, 0)", .smooth = away_from_0}, relu_grad_op,
      [](const Plain& p) -> Values { return where(less_equal(p.in[0], 0.0), 0.0, p.in[0]); },
      activation_kernels<curves::Relu>());
  return op;
}

const OpDef& relu_grad_op() {
  static const OpDef op = activation_grad(
      {.name = "relu_grad", .law = "d_x = d_y [x > 0]", .smooth = away_from_0},
      [](const Plain& p) -> Values { return where(greater(p.in[0], 0.0), p.in[1], zeros_like(p.in[1])); },
      activation_grad_kernels<curves::Relu>());
  return op;
}

// --- gelu: y = x Phi(x); d_x = d_y (Phi(x) + x phi(x)) ---

const OpDef& gelu_op() {
  static const OpDef op = activation(
      {.name = "gelu", .law = "y = x Phi(x)"}, gelu_grad_op,
      [](const Plain& p) -> Values { return p.in[0] * phi(p.in[0]); }, activation_kernels<curves::Gelu>());
  return op;
}

const OpDef& gelu_grad_op() {
  static const OpDef op = activation_grad(
      {.name = "gelu_grad", .law = "d_x = d_y (Phi(x) + x phi(x))"},
      [](const Plain& p) -> Values {
        const Value& x = p.in[0];
        const double norm = 1.0 / std::sqrt(2.0 * std::numbers::pi);
        return p.in[1] * (phi(x) + x * exp(x * x * -0.5) * norm);
      },
      activation_grad_kernels<curves::Gelu>());
  return op;
}

// --- gelu_tanh: y = x/2 (1 + t), t = tanh(u), u = sqrt(2/pi) (x + c x^3);
//     d_x = d_y (1 + t + x (1 - t^2) u') / 2, u' = sqrt(2/pi) (1 + 3 c x^2) ---

const OpDef& gelu_tanh_op() {
  static const OpDef op = activation(
      {.name = "gelu_tanh", .law = "y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))"}, gelu_tanh_grad_op,
      [](const Plain& p) -> Values { return p.in[0] * 0.5 * (1.0 + inner(p.in[0])); },
      activation_kernels<curves::GeluTanh>());
  return op;
}

const OpDef& gelu_tanh_grad_op() {
  static const OpDef op = activation_grad(
      {.name = "gelu_tanh_grad",
       .law = "d_x = d_y (1 + t + x (1 - t^2) u') / 2, t = tanh(u), u = sqrt(2/pi) (x + 0.044715 x^3)",
       .smooth = {{-3, 3}, {-2, -0.5}}},  // beyond, the plain form's 1 + t cancels in f32
      [](const Plain& p) -> Values {
        const Value& x = p.in[0];
        const Value t = inner(x);
        const Value slope = (1.0 + x * x * (3.0 * cubic)) * root_2_over_pi;
        return p.in[1] * 0.5 * (1.0 + t + x * (1.0 - t * t) * slope);
      },
      activation_grad_kernels<curves::GeluTanh>());
  return op;
}

// --- silu: y = x s, s = sigmoid(x); d_x = d_y s (1 + x (1 - s)) ---

const OpDef& silu_op() {
  static const OpDef op = activation(
      {.name = "silu", .law = "y = x / (1 + e^-x)"}, silu_grad_op,
      [](const Plain& p) -> Values { return p.in[0] * sigmoid(p.in[0]); }, activation_kernels<curves::Silu>());
  return op;
}

const OpDef& silu_grad_op() {
  static const OpDef op = activation_grad(
      {.name = "silu_grad", .law = "d_x = d_y s (1 + x (1 - s)), s = sigmoid(x)"},
      [](const Plain& p) -> Values {
        const Value s = sigmoid(p.in[0]);
        return p.in[1] * s * (1.0 + p.in[0] * (1.0 - s));
      },
      activation_grad_kernels<curves::Silu>());
  return op;
}

Value relu(const Arg& x) { return build(relu_op(), {x}); }
Value gelu(const Arg& x, const GeluOptions& options) {
  WEFT_CHECK(options.approximate == "none" || options.approximate == "tanh",
             "gelu's approximate must be 'none' or 'tanh', got '{}' ({})", options.approximate, str(x.where()));
  return build(options.approximate == "tanh" ? gelu_tanh_op() : gelu_op(), {x});
}
Value gelu_tanh(const Arg& x) { return build(gelu_tanh_op(), {x}); }
Value silu(const Arg& x) { return build(silu_op(), {x}); }
Value relu_grad(const Arg& x, const Arg& d_y) { return build(relu_grad_op(), {x, d_y}); }
Value gelu_grad(const Arg& x, const Arg& d_y) { return build(gelu_grad_op(), {x, d_y}); }
Value gelu_tanh_grad(const Arg& x, const Arg& d_y) { return build(gelu_tanh_grad_op(), {x, d_y}); }
Value silu_grad(const Arg& x, const Arg& d_y) { return build(silu_grad_op(), {x, d_y}); }

void register_activation() {
  for (const OpDef* op : {&relu_op(),
                          &gelu_op(),
                          &gelu_tanh_op(),
                          &silu_op(),
                          &mish_op(),
                          &logsigmoid_op(),
                          &softplus_op(),
                          &elu_op(),
                          &celu_op(),
                          &selu_op(),
                          &leaky_relu_op(),
                          &hardtanh_op(),
                          &relu6_op(),
                          &hardsigmoid_op(),
                          &hardswish_op(),
                          &relu_grad_op(),
                          &gelu_grad_op(),
                          &gelu_tanh_grad_op(),
                          &silu_grad_op(),
                          &mish_grad_op(),
                          &logsigmoid_grad_op(),
                          &softplus_grad_op(),
                          &elu_grad_op(),
                          &celu_grad_op(),
                          &selu_grad_op(),
                          &leaky_relu_grad_op(),
                          &hardtanh_grad_op(),
                          &relu6_grad_op(),
                          &hardsigmoid_grad_op(),
                          &hardswish_grad_op()})
    registry().add(*op);
}

}  // namespace weft
