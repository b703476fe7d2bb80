#include "adapters.h"

#include <weft/ops/arithmetic.h>
#include <weft/ops/movement.h>
#include <weft/ops/reduce.h>
#include <weft/ops/softmax.h>
#include <weft/ops/unary.h>

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

// weft's logsumexp has one axis: those to reduce become the last one.
Value log_sum_exp(const Value& x, const ReduceOptions& options) {
  std::vector<std::int64_t> order, reduced;
  Shape result, rows;
  for (std::int64_t axis : options.axes) reduced.push_back(normalize_axis(axis, x.rank()));
  for (int axis = 0; axis < x.rank(); ++axis) {
    const bool gone = reduced.empty() || std::ranges::find(reduced, axis) != reduced.end();
    if (!gone) {
      order.push_back(axis);
      rows.push_back(x.dim(axis));
    }
    if (!gone || options.keep) result.push_back(gone ? Dim(1) : x.dim(axis));
  }
  for (int axis = 0; axis < x.rank(); ++axis)
    if (std::ranges::find(order, axis) == order.end()) order.push_back(axis);
  rows.push_back(-1);
  return reshape(logsumexp(reshape(transpose(x, order), rows)), result);
}

Value argument(const Value& x, const Call& c) {
  if (c.integer("select_last_index", 0) != 0) throw NotCovered("the last of equal elements");
  return argmax(x, c.integer("axis", 0), c.integer("keepdims", 1) != 0);
}

}  // namespace

Adapters reduce_adapters() {
  return {
      {"ReduceSum", reduction([](const Value& x, const ReduceOptions& o) { return sum(x, o); })},
      {"ReduceMean", reduction([](const Value& x, const ReduceOptions& o) { return mean(x, o); })},
      {"ReduceMax", reduction([](const Value& x, const ReduceOptions& o) { return max(x, o); })},
      {"ReduceMin", reduction([](const Value& x, const ReduceOptions& o) { return min(x, o); })},
      {"ReduceL1", reduction([](const Value& x, const ReduceOptions& o) { return sum(abs(x), o); })},
      {"ReduceL2", reduction([](const Value& x, const ReduceOptions& o) { return sqrt(sum(square(x), o)); })},
      {"ReduceSumSquare", reduction([](const Value& x, const ReduceOptions& o) { return sum(square(x), o); })},
      {"ReduceLogSum", reduction([](const Value& x, const ReduceOptions& o) { return log(sum(x, o)); })},
      {"ReduceLogSumExp", reduction(log_sum_exp)},
      {"ArgMax", [](const Call& c) { return argument(c.in(0), c); }},
      {"ArgMin", [](const Call& c) { return argument(-c.in(0), c); }},
  };
}

}  // namespace onnx_node
