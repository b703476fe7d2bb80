#include "adapters.h"

#include <weft/ops/norm/softmax.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/reduce/scan.h>
#include <weft/ops/reduce/statistics.h>
#include <weft/ops/shape/arrange.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>

namespace onnx_node {

using namespace weft;

namespace {

using Reduction = Value (*)(const Value&, const ReduceOptions&);

Adapter reduction(Reduction of) {
  return [of](const Call& c) {
    const ReduceOptions options{.axes = c.integers(1, "axes"), .keep = c.integer("keepdims", 1) != 0};
    if (options.axes.empty() && c.integer("noop_with_empty_axes", 0) != 0) return c.in(0);
    return of(c.in(0), options);
  };
}

// Of booleans as numbers: any, or all, of them. Of no elements ONNX has a limit of the type, weft refuses.
Adapter extreme(Reduction of) {
  return [of](const Call& c) {
    const Value x = c.in(0);
    if (x.shape().count() == 0) throw NotCovered("the largest or least of no elements");
    const ReduceOptions options{.axes = c.integers(1, "axes"), .keep = c.integer("keepdims", 1) != 0};
    return x.dtype() == boolean ? cast(of(cast(x, i32), options), boolean) : reduction(of)(c).front();
  };
}

using Extreme = Value (*)(const Arg&, std::int64_t, bool);

// Of equal elements the last one is the first of the flipped operand.
Adapter place_of(Extreme of) {
  return [of](const Call& c) {
    const std::int64_t axis = c.integer("axis", 0);
    const bool keep = c.integer("keepdims", 1) != 0;
    if (c.integer("select_last_index", 0) == 0) return of(c.in(0), axis, keep);
    const std::int64_t n = c.in(0).shape().extent(normalize_axis(axis, c.in(0).rank()));
    return n - 1 - of(flip(c.in(0), {axis}), axis, keep);
  };
}

Value running_sum(const Call& c) {
  const Value x = c.in(0), y = cumsum(x, static_cast<std::int64_t>(c.number(1)), c.integer("reverse", 0) != 0);
  return c.integer("exclusive", 0) != 0 ? y - x : y;
}

// x [N, C, ..] over all axes behind the channels.
Adapter global_pool(Reduction of) {
  return [of](const Call& c) {
    ReduceOptions options{.axes = {}, .keep = true};
    for (int axis = 2; axis < c.in(0).rank(); ++axis) options.axes.push_back(axis);
    return of(c.in(0), options);
  };
}

}  // namespace

Adapters reduce_adapters() {
  return {
      {"ReduceSum", reduction([](const Value& x, const ReduceOptions& o) { return sum(x, o); })},
      {"ReduceMean", reduction([](const Value& x, const ReduceOptions& o) { return mean(x, o); })},
      {"ReduceMax", extreme([](const Value& x, const ReduceOptions& o) { return max(x, o); })},
      {"ReduceMin", extreme([](const Value& x, const ReduceOptions& o) { return min(x, o); })},
      {"ReduceL1", reduction([](const Value& x, const ReduceOptions& o) { return sum(abs(x), o); })},
      {"ReduceL2", reduction([](const Value& x, const ReduceOptions& o) { return sqrt(sum(square(x), o)); })},
      {"ReduceSumSquare", reduction([](const Value& x, const ReduceOptions& o) { return sum(square(x), o); })},
      {"ReduceLogSum", reduction([](const Value& x, const ReduceOptions& o) { return log(sum(x, o)); })},
      {"ReduceLogSumExp", reduction([](const Value& x, const ReduceOptions& o) { return logsumexp(x, o); })},
      {"ReduceProd", reduction([](const Value& x, const ReduceOptions& o) { return prod(x, o); })},
      {"ArgMax", place_of(argmax)},
      {"ArgMin", place_of(argmin)},
      {"CumSum", running_sum},
      {"GlobalAveragePool", global_pool([](const Value& x, const ReduceOptions& o) { return mean(x, o); })},
      {"GlobalMaxPool", global_pool([](const Value& x, const ReduceOptions& o) { return max(x, o); })},
  };
}

}  // namespace onnx_node
