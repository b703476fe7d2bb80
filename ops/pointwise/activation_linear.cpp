// Activations that are made of lines (hardswish: of lines and a parabola), besides relu.
#include <weft/ops/pointwise/activation.h>

#include <weft/ops/kit/build.h>
#include <weft/ops/pointwise/activation_curves.h>
#include <weft/ops/pointwise/arithmetic.h>

namespace weft {
namespace {

// Between and beyond two kinks.
Intervals around(double low, double high) {
  return {{low + 0.1, high - 0.1}, {high + 0.1, high + 4}, {low - 4, low - 0.1}};
}

Value clamped(const Value& x, double low, double high) { return minimum(maximum(x, low), high); }
Value beyond(const Value& x, double low, double high) { return logical_or(less_equal(x, low), greater_equal(x, high)); }

}  // namespace

// --- leaky_relu: y = x or a x; d_x = d_y or a d_y, a at 0 ---

const OpDef& leaky_relu_op() {
  static const OpDef op = activation(
      {.name = "leaky_relu",
       .law = "y = x where x > 0, else negative_slope x",
       .attributes = {{"negative_slope", 0.2}},
       .smooth = {{0.1, 3}, {-3, -0.1}}},
      leaky_relu_grad_op,
      [](const Plain& p) -> Values {
        return where(greater(p.in[0], 0.0), p.in[0], p.in[0] * p.attributes.number("negative_slope"));
      },
      activation_kernels<curves::LeakyRelu>());
  return op;
}

const OpDef& leaky_relu_grad_op() {
  static const OpDef op = activation_grad(
      {.name = "leaky_relu_grad",
       .law = "d_x = d_y where x > 0, else negative_slope d_y",
       .attributes = {{"negative_slope", 0.2}},
       .smooth = {{0.1, 3}, {-3, -0.1}}},
      [](const Plain& p) -> Values {
        return where(greater(p.in[0], 0.0), p.in[1], p.in[1] * p.attributes.number("negative_slope"));
      },
      activation_grad_kernels<curves::LeakyRelu>());
  return op;
}

// --- hardtanh: y = min(max(x, min), max); d_x = d_y [min < x < max] ---

namespace {
void check_bounds(const Attributes& attributes) {
  const double low = attributes.number("min"), high = attributes.number("max");
  WEFT_CHECK(low < high, "min must be below max, got {} and {}", low, high);
}
Attributes bounds(double low, double high) { return {{"min", low}, {"max", high}}; }
const std::vector<BadSample> bad_bounds{{{}, bounds(1, -1), "min must be below max"}};
}  // namespace

const OpDef& hardtanh_op() {
  static const OpDef op = activation(
      {.name = "hardtanh",
       .law = "y = min(max(x, min), max)",
       .attributes = bounds(-1.5, 1),
       .smooth = around(-1.5, 1),
       .bad_samples = bad_bounds,
       .check = check_bounds},
      hardtanh_grad_op,
      [](const Plain& p) -> Values { return clamped(p.in[0], p.attributes.number("min"), p.attributes.number("max")); },
      activation_kernels<curves::HardTanh>());
  return op;
}

const OpDef& hardtanh_grad_op() {
  static const OpDef op = activation_grad(
      {.name = "hardtanh_grad",
       .law = "d_x = d_y [min < x < max]",
       .attributes = bounds(-1.5, 1),
       .smooth = around(-1.5, 1),
       .bad_samples = bad_bounds,
       .check = check_bounds},
      [](const Plain& p) -> Values {
        return where(beyond(p.in[0], p.attributes.number("min"), p.attributes.number("max")), 0.0, p.in[1]);
      },
      activation_grad_kernels<curves::HardTanh>());
  return op;
}

// --- relu6: y = min(max(x, 0), 6); d_x = d_y [0 < x < 6] ---

const OpDef& relu6_op() {
  static const OpDef op = activation(
      {.name = "relu6", .law = "y = min(max(x, 0), 6)", .smooth = around(0, 6)}, relu6_grad_op,
      [](const Plain& p) -> Values { return clamped(p.in[0], 0, 6); }, activation_kernels<curves::Relu6>());
  return op;
}

const OpDef& relu6_grad_op() {
  static const OpDef op = activation_grad(
      {.name = "relu6_grad", .law = "d_x = d_y [0 < x < 6]", .smooth = around(0, 6)},
      [](const Plain& p) -> Values { return where(beyond(p.in[0], 0, 6), 0.0, p.in[1]); },
      activation_grad_kernels<curves::Relu6>());
  return op;
}

// --- hardsigmoid: y = min(max(x + 3, 0), 6) / 6; d_x = d_y / 6 [-3 < x < 3] ---

const OpDef& hardsigmoid_op() {
  static const OpDef op = activation(
      {.name = "hardsigmoid", .law = "y = min(max(x + 3, 0), 6) / 6", .smooth = around(-3, 3)}, hardsigmoid_grad_op,
      [](const Plain& p) -> Values { return clamped(p.in[0] + 3.0, 0, 6) / 6.0; },
      activation_kernels<curves::HardSigmoid>());
  return op;
}

const OpDef& hardsigmoid_grad_op() {
  static const OpDef op = activation_grad(
      {.name = "hardsigmoid_grad", .law = "d_x = d_y / 6 [-3 < x < 3]", .smooth = around(-3, 3)},
      [](const Plain& p) -> Values { return where(beyond(p.in[0], -3, 3), 0.0, p.in[1] / 6.0); },
      activation_grad_kernels<curves::HardSigmoid>());
  return op;
}

// --- hardswish: y = x min(max(x + 3, 0), 6) / 6; d_x = d_y (0, x / 3 + 1/2, 1), 0 at -3 and 1 at 3 ---

const OpDef& hardswish_op() {
  static const OpDef op = activation(
      {.name = "hardswish", .law = "y = x min(max(x + 3, 0), 6) / 6", .smooth = around(-3, 3)}, hardswish_grad_op,
      [](const Plain& p) -> Values { return p.in[0] * clamped(p.in[0] + 3.0, 0, 6) / 6.0; },
      activation_kernels<curves::HardSwish>());
  return op;
}

const OpDef& hardswish_grad_op() {
  static const OpDef op = activation_grad(
      {.name = "hardswish_grad",
       .law = "d_x = 0 where x <= -3, d_y where x >= 3, else d_y (x / 3 + 1/2)",
       .smooth = around(-3, 3)},
      [](const Plain& p) -> Values {
        const Value& x = p.in[0];
        const Value inside = where(greater_equal(x, 3.0), p.in[1], p.in[1] * (x / 3.0 + 0.5));
        return where(less_equal(x, -3.0), 0.0, inside);
      },
      activation_grad_kernels<curves::HardSwish>());
  return op;
}

Value leaky_relu(const Arg& x, double negative_slope) {
  return build(leaky_relu_op(), {x}, {{"negative_slope", negative_slope}});
}
Value hardtanh(const Arg& x, double min, double max) { return build(hardtanh_op(), {x}, bounds(min, max)); }
Value relu6(const Arg& x) { return build(relu6_op(), {x}); }
Value hardsigmoid(const Arg& x) { return build(hardsigmoid_op(), {x}); }
Value hardswish(const Arg& x) { return build(hardswish_op(), {x}); }

}  // namespace weft
