#include "adapters.h"

#include <weft/ops/index/one_hot.h>
#include <weft/ops/norm/softmax.h>
#include <weft/ops/pointwise/activation.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/movement.h>

namespace onnx_node {

using namespace weft;

namespace {

Value zeros_of(const Value& x) { return x - x; }

// x - bias above lambd, x + bias below -lambd, 0 between.
Value shrunk(const Call& c) {
  const Value x = c.in(0);
  const double lambd = c.number("lambd", 0.5);
  const double bias = c.number("bias", 0.0);
  return where(less(x, -lambd), x + bias, where(greater(x, lambd), x - bias, zeros_of(x)));
}

// Before opset 13 the axes behind `axis` were one.
int softmax_axis(const Call& c) {
  if (c.opset() < 13) throw NotCovered("opsets before 13 of an op that changed");
  return static_cast<int>(c.integer("axis", -1));
}

Value hardmax(const Call& c) {
  const std::int64_t axis = c.integer("axis", -1);
  const Value x = c.in(0);
  return move_axis(one_hot(argmax(x, axis), x.dim(static_cast<int>(axis)), x.dtype()), -1, axis);
}

}  // namespace

Adapters activation_adapters() {
  return {
      {"Relu", unary(relu)},
      {"Sigmoid", unary(sigmoid)},
      {"Tanh", unary(tanh)},
      {"Celu", [](const Call& c) { return celu(c.in(0), c.number("alpha", 1.0)); }},
      {"Elu", [](const Call& c) { return elu(c.in(0), c.number("alpha", 1.0)); }},
      {"HardSigmoid",
       [](const Call& c) {
         return clamp(c.number("alpha", 0.2) * c.in(0) + c.number("beta", 0.5), {.min = 0.0, .max = 1.0});
       }},
      {"HardSwish", unary(hardswish)},
      {"Mish", unary(mish)},
      {"Gelu",
       [](const Call& c) { return c.text("approximate", "none") == "tanh" ? gelu_tanh(c.in(0)) : gelu(c.in(0)); }},
      {"LeakyRelu", [](const Call& c) { return leaky_relu(c.in(0), c.number("alpha", 0.01)); }},
      {"Selu",
       [](const Call& c) {
         return c.number("gamma", 1.05070102214813) * elu(c.in(0), c.number("alpha", 1.67326319217681));
       }},
      {"Softplus", [](const Call& c) { return softplus(c.in(0)); }},
      {"PRelu", [](const Call& c) { return where(less(c.in(0), 0), c.in(0) * c.in(1), c.in(0)); }},
      {"Softsign", [](const Call& c) { return c.in(0) / (abs(c.in(0)) + 1); }},
      {"ThresholdedRelu",
       [](const Call& c) { return where(greater(c.in(0), c.number("alpha", 1.0)), c.in(0), zeros_of(c.in(0))); }},
      {"Shrink", shrunk},
      {"Softmax", [](const Call& c) { return softmax(c.in(0), softmax_axis(c)); }},
      {"LogSoftmax", [](const Call& c) { return log_softmax(c.in(0), softmax_axis(c)); }},
      {"Hardmax", hardmax},
  };
}

}  // namespace onnx_node
