#include "adapters.h"

#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>

namespace onnx_node {

using namespace weft;

namespace {

Adapter variadic(Value (*function)(const Arg&, const Arg&)) {
  return [function](const Call& c) {
    Value result = c.in(0);
    for (std::size_t i = 1; i < c.count(); ++i) result = function(result, c.in(i));
    return result;
  };
}

Value truncated(const Value& x) { return where(less(x, 0), -floor(-x), floor(x)); }

// Integers are cut towards zero, as in C.
Value quotient(const Call& c) {
  const Value a = c.in(0), b = c.in(1);
  return is_float(a.dtype()) ? a / b : cast(cast(a, f64) / cast(b, f64), a.dtype());
}

// The exponent has a type of its own; the result has the base's.
Value power(const Call& c) {
  const Value a = c.in(0), b = c.in(1);
  if (is_float(a.dtype())) return pow(a, cast(b, a.dtype()));
  return cast(pow(cast(a, f64), cast(b, f64)), a.dtype());
}

// fmod = 1: the sign of the dividend, else of the divisor.
Value remainder_of(const Call& c) {
  const Value a = c.in(0), b = c.in(1);
  const Value x = is_float(a.dtype()) ? a : cast(a, f64);
  const Value y = cast(b, x.dtype());
  const Value whole = c.integer("fmod", 0) != 0 ? truncated(x / y) : floor(x / y);
  return cast(x - whole * y, a.dtype());
}

Value is_infinite(const Call& c) {
  const Value x = c.in(0);
  const Value endless = logical_and(equal(x, x), logical_not(isfinite(x)));
  const Value positive = c.integer("detect_positive", 1) != 0 ? greater(x, 0) : less(x, x);
  const Value negative = c.integer("detect_negative", 1) != 0 ? less(x, 0) : less(x, x);
  return logical_and(endless, logical_or(positive, negative));
}

Value clipped(const Call& c) {
  Value x = c.in(0);
  if (c.has(1)) x = maximum(x, c.in(1));
  return c.has(2) ? minimum(x, c.in(2)) : x;
}

// (e^x - e^-x) / 2 by e^x - 1, which keeps the digits near 0.
Value sinh_of(const Call& c) {
  const Value e = expm1(c.in(0));
  return (e + e / (e + 1)) / 2;
}

}  // namespace

Adapters pointwise_adapters() {
  return {
      {"Abs", unary(abs)},
      {"Neg", unary(negate)},
      {"Sign", unary(sign)},
      {"Sqrt", unary(sqrt)},
      {"Reciprocal", unary(reciprocal)},
      {"Exp", unary(exp)},
      {"Log", unary(log)},
      {"Erf", unary(erf)},
      {"Sin", unary(sin)},
      {"Cos", unary(cos)},
      {"Tan", [](const Call& c) { return sin(c.in(0)) / cos(c.in(0)); }},
      {"Sinh", sinh_of},
      {"Cosh", [](const Call& c) { return (exp(c.in(0)) + exp(-c.in(0))) / 2; }},
      {"Asinh", [](const Call& c) { return log(c.in(0) + sqrt(square(c.in(0)) + 1)); }},
      {"Acosh", [](const Call& c) { return log(c.in(0) + sqrt(square(c.in(0)) - 1)); }},
      {"Atanh", [](const Call& c) { return (log1p(c.in(0)) - log1p(-c.in(0))) / 2; }},
      {"Floor", unary(floor)},
      {"Ceil", unary(ceil)},
      {"Round", unary(round)},

      {"Add", binary(add)},
      {"Sub", binary(subtract)},
      {"Mul", binary(multiply)},
      {"Div", quotient},
      {"Pow", power},
      {"Mod", remainder_of},
      {"Min", variadic(minimum)},
      {"Max", variadic(maximum)},
      {"Sum", variadic(add)},
      {"Mean", [](const Call& c) { return variadic(add)(c).front() / static_cast<double>(c.count()); }},
      {"Clip", clipped},

      {"Equal", binary(equal)},
      {"Less", binary(less)},
      {"LessOrEqual", binary(less_equal)},
      {"Greater", binary(greater)},
      {"GreaterOrEqual", binary(greater_equal)},
      {"IsNaN", unary(isnan)},
      {"IsInf", is_infinite},

      {"And", binary(logical_and)},
      {"Or", binary(logical_or)},
      {"Xor", binary(logical_xor)},
      {"Not", unary(logical_not)},
      {"Where", [](const Call& c) { return where(c.in(0), c.in(1), c.in(2)); }},

      {"Cast", [](const Call& c) { return cast(c.in(0), dtype_of(c.integer("to", 0))); }},
      {"CastLike", [](const Call& c) { return cast(c.in(0), c.in(1).dtype()); }},
  };
}

}  // namespace onnx_node
