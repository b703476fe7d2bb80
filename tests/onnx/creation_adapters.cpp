#include "adapters.h"

#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace onnx_node {

using namespace weft;

namespace {

using Integers = Call::Integers;

Value of_integers(const Call& c, const Integers& values) {
  return c.graph().constant(
      constant_of(Tensor::of<std::int64_t>({static_cast<std::int64_t>(values.size())}, std::span(values))));
}

Value constant(const Call& c) {
  if (c.has("value")) return c.graph().constant(constant_of(c.get("value", Tensor{})));
  if (c.has("value_float")) return full(c.graph(), {}, f32, c.number("value_float", 0));
  if (c.has("value_int")) return full(c.graph(), {}, i64, static_cast<double>(c.integer("value_int", 0)));
  if (c.has("value_ints")) return of_integers(c, c.integers("value_ints"));
  if (!c.has("value_floats")) throw NotCovered("strings");
  const auto numbers = c.get("value_floats", std::vector<double>{});
  const std::vector<float> values(numbers.begin(), numbers.end());
  return c.graph().constant(
      constant_of(Tensor::of<float>({static_cast<std::int64_t>(values.size())}, std::span(values))));
}

Value constant_of_shape(const Call& c) {
  const Tensor value = c.get("value", Tensor(f32, {1}));
  const Integers extents = c.integers(0);
  return full(c.graph(), Shape(std::span(extents)), value.dtype(), value.item());
}

// start, start + delta, ... before limit
Value range(const Call& c) {
  const double start = c.number(0), limit = c.number(1), delta = c.number(2);
  const auto n = static_cast<std::int64_t>(std::max(0.0, std::ceil((limit - start) / delta)));
  return iota(c.graph(), n, c.in(0).dtype()) * delta + start;
}

Value shape_of(const Call& c) {
  const Integers extents = c.in(0).shape().extents();
  const auto rank = static_cast<std::int64_t>(extents.size());
  auto within = [rank](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank); };
  const std::int64_t start = within(c.integer("start", 0)), end = within(c.integer("end", rank));
  return of_integers(c, {extents.begin() + start, extents.begin() + std::max(start, end)});
}

// Ones where column = row + k.
Value eye_like(const Call& c) {
  const Value x = c.in(0);
  const DType dtype = c.has("dtype") ? dtype_of(c.integer("dtype", 0)) : x.dtype();
  const Value rows = unsqueeze(iota(c.graph(), x.dim(0)), 1);
  return cast(equal(rows + c.integer("k", 0), iota(c.graph(), x.dim(1))), dtype);
}

// a0 - a1 cos(2 pi i / N) + a2 cos(4 pi i / N); N is n if periodic, else n - 1.
Adapter window(double a0, double a1, double a2) {
  return [=](const Call& c) {
    const auto n = static_cast<std::int64_t>(c.number(0));
    const auto period = static_cast<double>(c.integer("periodic", 1) != 0 ? n : n - 1);
    const Value angle = iota(c.graph(), n, f64) * (2 * std::numbers::pi / period);
    return cast(a0 - a1 * cos(angle) + a2 * cos(2 * angle), dtype_of(c.integer("output_datatype", 1)));
  };
}

}  // namespace

Adapters creation_adapters() {
  return {
      {"Constant", constant},
      {"ConstantOfShape", constant_of_shape},
      {"EyeLike", eye_like},
      {"Range", range},
      {"Shape", shape_of},
      {"Size", [](const Call& c) { return full(c.graph(), {}, i64, static_cast<double>(c.in(0).shape().count())); }},
      {"HannWindow", window(0.5, 0.5, 0)},
      {"HammingWindow", window(25.0 / 46, 21.0 / 46, 0)},
      {"BlackmanWindow", window(0.42, 0.5, 0.08)},
  };
}

}  // namespace onnx_node
