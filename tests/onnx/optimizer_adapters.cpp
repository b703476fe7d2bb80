// ONNX's training ops: rate, step count, then the tensors by kind (all parameters, all gradients, all states).
#include "adapters.h"

#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>

#include <cmath>

namespace onnx_node {

using namespace weft;

namespace {

/// One tensor's part: parameter, regularised gradient, states -> parameter, states.
using Rule = std::function<Values(const Call&, const Value& x, const Value& g, const Values& states)>;

Adapter optimizer(std::size_t states, Rule rule) {
  return [states, rule = std::move(rule)](const Call& c) {
    const std::size_t kinds = states + 2;
    const std::size_t tensors = (c.count() - 2) / kinds;
    Values result((kinds - 1) * tensors);
    for (std::size_t i = 0; i < tensors; ++i) {
      auto operand = [&](std::size_t kind) { return c.in(2 + kind * tensors + i); };
      const Value x = operand(0);
      Values old;
      for (std::size_t k = 0; k < states; ++k) old.push_back(operand(2 + k));
      const Values now = rule(c, x, operand(1) + c.number("norm_coefficient", 0.0) * x, old);
      for (std::size_t k = 0; k < now.size(); ++k) result[k * tensors + i] = now[k];
    }
    return result;
  };
}

Values adagrad(const Call& c, const Value& x, const Value& g, const Values& states) {
  const double rate = c.number(0) / (1 + c.number(1) * c.number("decay_factor", 0.0));
  const Value h = states[0] + square(g);
  return {x - rate * g / (sqrt(h) + c.number("epsilon", 1e-6)), h};
}

Values adam(const Call& c, const Value& x, const Value& g, const Values& states) {
  const double alpha = c.number("alpha", 0.9), beta = c.number("beta", 0.999), t = c.number(1);
  const Value v = alpha * states[0] + (1 - alpha) * g;
  const Value h = beta * states[1] + (1 - beta) * square(g);
  const double rate = c.number(0) * (t > 0 ? std::sqrt(1 - std::pow(beta, t)) / (1 - std::pow(alpha, t)) : 1);
  const Value moved = x - rate * v / (sqrt(h) + c.number("epsilon", 1e-6));
  return {(1 - c.number("norm_coefficient_post", 0.0)) * moved, v, h};
}

Values momentum(const Call& c, const Value& x, const Value& g, const Values& states) {
  const double alpha = c.number("alpha", 0.0);
  const double beta = c.number(1) > 0 ? c.number("beta", 0.0) : 1;
  const Value v = alpha * states[0] + beta * g;
  return {x - c.number(0) * (c.text("mode", "standard") == "nesterov" ? g + alpha * v : v), v};
}

}  // namespace

Adapters optimizer_adapters() {
  return {
      {"Adagrad", optimizer(1, adagrad)},
      {"Adam", optimizer(2, adam)},
      {"Momentum", optimizer(1, momentum)},
  };
}

}  // namespace onnx_node
