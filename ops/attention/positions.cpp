#include <weft/ops/attention/positions.h>

#include <weft/ops/index/index.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace weft {
namespace {

template <class T>
Value numbers(Graph graph, const std::vector<T>& x) {
  Constant constant{{dtype_of<T>, {static_cast<std::int64_t>(x.size())}}, std::vector<std::byte>(x.size() * sizeof(T))};
  std::memcpy(constant.bytes.data(), x.data(), constant.bytes.size());
  return graph.constant(std::move(constant));
}

// position / base^(2i / width): the positions' axes, then width / 2.
Value angles(Graph graph, Dim time, std::int64_t width, double base, const PositionOffset& from,
             std::source_location where) {
  std::vector<double> rates;
  for (std::int64_t i = 0; i < width; i += 2)
    rates.push_back(std::pow(base, -static_cast<double>(i) / static_cast<double>(width)));
  const Value rows = position_ids(graph, time, f64, from, where);
  return unsqueeze(rows, -1) * numbers(graph, rates);
}

// x's elements of two halves or of even and odd places, turned by angles that broadcast to them.
Value turned(const Value& x, const Value& cosine, const Value& sine, bool interleaved) {
  const std::int64_t width = x.shape().extent(-1);
  const Value a = interleaved ? slice(x, {.axis = -1, .step = 2}) : slice(x, {.axis = -1, .stop = width / 2});
  const Value b =
      interleaved ? slice(x, {.axis = -1, .start = 1, .step = 2}) : slice(x, {.axis = -1, .start = width / 2});
  const Value c = a * cosine - b * sine, d = b * cosine + a * sine;
  return interleaved ? reshape(stack({c, d}, -1), x.shape()) : concatenate({c, d}, -1);
}

// key - query, i64
Value distances(Graph graph, Dim time_q, Dim time_k, const PositionOffset& from, std::source_location where) {
  return iota(graph, time_k, i64, where) - unsqueeze(position_ids(graph, time_q, i64, from, where), -1);
}

}  // namespace

Value position_ids(Graph graph, Dim time, DType dtype, const PositionOffset& from, std::source_location where) {
  Value rows = iota(graph, time, i64, where);
  if (from.offset != 0) rows = rows + from.offset;
  if (from.start.valid()) {
    const Shape& shape = from.start.shape();
    WEFT_CHECK(!is_float(from.start.dtype()) && from.start.dtype() != boolean && shape.rank() <= 1,
               "positions ({}) start from a whole number, or one for each example: [] or [batch], got {}", str(where),
               from.start.type().str());
    const Value start = cast(from.start, i64);
    rows = rows + (shape.rank() == 0 ? start : unsqueeze(start, -1));
  }
  return dtype == i64 ? rows : cast(rows, dtype);
}

Value sinusoidal_positions(Graph graph, Dim time, std::int64_t width, const SinusoidalOptions& options,
                           std::source_location where) {
  WEFT_CHECK(width > 0 && width % 2 == 0, "sinusoidal_positions ({}): the width must be even and positive, got {}",
             str(where), width);
  WEFT_CHECK(options.base > 1, "sinusoidal_positions ({}): base must be above 1, got {}", str(where), options.base);
  WEFT_CHECK(is_float(options.dtype), "sinusoidal_positions ({}): dtype must be floating, got {}", str(where),
             name_of(options.dtype));
  const Value angle = angles(graph, time, width, options.base, options.from, where);
  Shape shape = angle.shape();
  shape[-1] = width;
  return cast(reshape(stack({sin(angle), cos(angle)}, -1), shape), options.dtype);
}

Value rotary(const Arg& x, const RotaryOptions& options) {
  const Value& all = x.value();
  if (!all.valid()) return all;
  WEFT_CHECK(all.rank() == 4 && is_float(all.dtype()),
             "rotary ({}) turns queries or keys [batch, time, heads, width] of floats, got {}", str(x.where()),
             all.type().str());
  const std::int64_t whole = all.shape().extent(-1), width = options.width == 0 ? whole : options.width;
  WEFT_CHECK(width > 0 && width % 2 == 0 && width <= whole,
             "rotary ({}): it turns pairs, so the width must be even, positive and at most the head's {}, got {}",
             str(x.where()), whole, width);
  WEFT_CHECK(options.base > 1, "rotary ({}): base must be above 1, got {}", str(x.where()), options.base);
  // [time, 1, width / 2] or [batch, time, 1, width / 2]
  const Value angle = unsqueeze(angles(all.graph(), all.dim(1), width, options.base, options.from, x.where()), -2);
  const DType wide = all.dtype() == f64 ? f64 : f32;
  const Value input = all.dtype() == wide ? all : cast(all, wide);
  const Value part = width == whole ? input : slice(input, {.axis = -1, .stop = width});
  Value y = turned(part, cast(cos(angle), wide), cast(sin(angle), wide), options.interleaved);
  if (width < whole) y = concatenate({y, slice(input, {.axis = -1, .start = width})}, -1);
  return all.dtype() == wide ? y : cast(y, all.dtype());
}

std::vector<double> alibi_slopes(std::int64_t heads) {
  WEFT_CHECK(heads > 0, "alibi_slopes needs at least one head, got {}", heads);
  std::int64_t power = 1;
  while (power * 2 <= heads) power *= 2;
  std::vector<double> slopes;
  for (std::int64_t h = 1; h <= power; ++h)
    slopes.push_back(std::exp2(-8.0 * static_cast<double>(h) / static_cast<double>(power)));
  for (std::int64_t h = 1; std::ssize(slopes) < heads; h += 2)
    slopes.push_back(std::exp2(-8.0 * static_cast<double>(h) / static_cast<double>(2 * power)));
  return slopes;
}

Value alibi_bias(Graph graph, std::int64_t heads, Dim time_q, Dim time_k, const PositionOffset& from, DType dtype,
                 std::source_location where) {
  std::vector<double> slopes = alibi_slopes(heads);
  for (double& slope : slopes) slope = -slope;
  const Value distance = cast(abs(distances(graph, time_q, time_k, from, where)), f64);
  return cast(unsqueeze(distance, -3) * reshape(numbers(graph, slopes), {heads, 1, 1}), dtype);
}

std::vector<std::int64_t> relative_buckets(const RelativeBucketOptions& options) {
  const std::int64_t half = options.bidirectional ? options.buckets / 2 : options.buckets, exact = half / 2;
  WEFT_CHECK(
      options.buckets >= (options.bidirectional ? 4 : 2) && options.buckets % (options.bidirectional ? 4 : 2) == 0,
      "relative positions: buckets must be a positive multiple of {}, got {}", options.bidirectional ? 4 : 2,
      options.buckets);
  WEFT_CHECK(options.max_distance > exact,
             "relative positions: max_distance must be above the {} distances with a bucket of their own, got {}",
             exact, options.max_distance);
  std::vector<std::int64_t> buckets;
  for (std::int64_t relative = -options.max_distance; relative <= options.max_distance; ++relative) {
    const std::int64_t distance = options.bidirectional ? std::abs(relative) : std::max<std::int64_t>(-relative, 0);
    std::int64_t bucket = distance;
    if (distance >= exact) {
      const double share = std::log(static_cast<double>(distance) / static_cast<double>(exact)) /
                           std::log(static_cast<double>(options.max_distance) / static_cast<double>(exact));
      // Exact powers lie on a bucket's edge: not below it by the logarithm's rounding.
      bucket = exact + static_cast<std::int64_t>(std::floor(share * static_cast<double>(half - exact) + 1e-9));
      bucket = std::min(bucket, half - 1);
    }
    buckets.push_back(bucket + (options.bidirectional && relative > 0 ? half : 0));
  }
  return buckets;
}

Value relative_bucket_ids(Graph graph, Dim time_q, Dim time_k, const RelativeBucketOptions& options,
                          const PositionOffset& from, std::source_location where) {
  const Value table = numbers(graph, relative_buckets(options));
  const std::int64_t most = options.max_distance;
  const Value place = minimum(maximum(distances(graph, time_q, time_k, from, where), -most), most) + most;
  Dim all = 1;
  for (int axis = 0; axis < place.rank(); ++axis) all = all * place.dim(axis);
  return reshape(index_select(table, 0, reshape(place, {all})), place.shape());
}

}  // namespace weft
