#include "adapters.h"

#include <weft/ops/norm/layer_norm.h>
#include <weft/ops/norm/rms_norm.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/dropout.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <numeric>

namespace onnx_node {

using namespace weft;

namespace {

using Integers = Call::Integers;

Values layer_normalization(const Call& c) {
  const Value x = c.in(0);
  const int axes = x.rank() - normalize_axis(c.integer("axis", -1), x.rank());
  return layer_norm_with_statistics(x, c.in(1), c.optional(2), {.axes = axes, .eps = c.number("epsilon", 1e-5)});
}

// [C] as [C, 1, ..]: beside x [N, C, ..].
Value by_channel(const Value& v, const Value& x) {
  Shape shape{v.dim(0)};
  for (int i = 2; i < x.rank(); ++i) shape.push_back(1);
  return reshape(v, shape);
}

// Outside training by the statistics given, in training by x's own, which move the running ones by 1 - momentum.
Values batch_normalization(const Call& c) {
  const Value x = c.in(0), scale = c.in(1), bias = c.in(2);
  Value mu = c.in(3), variance = c.in(4);
  Values running;
  if (c.integer("training_mode", 0) != 0) {
    Integers axes(static_cast<std::size_t>(x.rank()));
    std::iota(axes.begin(), axes.end(), 0);
    axes.erase(axes.begin() + 1);
    mu = mean(x, {.axes = axes});
    variance = mean(square(x - by_channel(mu, x)), {.axes = axes});
    const double momentum = c.number("momentum", 0.9);
    running = {c.in(3) * momentum + mu * (1 - momentum), c.in(4) * momentum + variance * (1 - momentum)};
  }
  const Value rstd = rsqrt(variance + c.number("epsilon", 1e-5));
  Values result{(x - by_channel(mu, x)) * by_channel(rstd * scale, x) + by_channel(bias, x)};
  result.insert(result.end(), running.begin(), running.end());
  return result;
}

// Each channel of each example for itself: all axes behind them.
Value instance_normalization(const Call& c) {
  const Value x = c.in(0);
  const Value y = layer_norm(x, Value{}, Value{}, {.axes = x.rank() - 2, .eps = c.number("epsilon", 1e-5)});
  return y * by_channel(c.in(1), x) + by_channel(c.in(2), x);
}

// Since opset 21 scale and bias are a number a channel.
Value group_normalization(const Call& c) {
  if (c.opset() < 21) throw NotCovered("opsets before 21 of an op that changed");
  const GroupNormOptions options{.weight = c.in(1), .bias = c.in(2), .eps = c.number("epsilon", 1e-5)};
  return group_norm(c.in(0), c.integer("num_groups", 1), options);
}

Value mean_variance_normalization(const Call& c) {
  const Value x = c.in(0);
  const ReduceOptions over{.axes = c.integers("axes", {0, 2, 3}), .keep = true};
  const Value centred = x - mean(x, over);
  return centred / (sqrt(mean(square(centred), over)) + 1e-9);
}

// x / (bias + alpha / size * the sum of squares of `size` neighbouring channels)^beta
Value local_response_normalization(const Call& c) {
  const Value x = c.in(0);
  const std::int64_t size = c.integer("size", 1), before = (size - 1) / 2, channels = x.shape().extent(1);
  const Value squares = slice_scatter(square(x), 1, before, 1, channels + size - 1);
  Value total = slice(squares, {.axis = 1, .start = 0, .stop = channels});
  for (std::int64_t i = 1; i < size; ++i) total = total + slice(squares, {.axis = 1, .start = i, .stop = i + channels});
  const double alpha = c.number("alpha", 1e-4) / static_cast<double>(size);
  return x / pow(c.number("bias", 1.0) + alpha * total, c.number("beta", 0.75));
}

// The model is run outside training, where dropout is the identity and the mask is true everywhere.
Values dropout_outside_training(const Call& c) {
  const Value x = c.in(0);
  const double ratio = c.has(1) ? c.number(1) : c.number("ratio", 0.5);
  const bool training = c.has(2) && c.number(2) != 0;
  if (training && ratio != 0) throw NotCovered("NumPy's random numbers");
  return {dropout(x, ratio), full(c.graph(), x.shape(), boolean, 1)};
}

}  // namespace

Adapters norm_adapters() {
  return {
      {"LayerNormalization", layer_normalization},
      {"BatchNormalization", batch_normalization},
      {"InstanceNormalization", instance_normalization},
      {"GroupNormalization", group_normalization},
      {"MeanVarianceNormalization", mean_variance_normalization},
      {"LRN", local_response_normalization},
      {"Dropout", dropout_outside_training},
  };
}

}  // namespace onnx_node
