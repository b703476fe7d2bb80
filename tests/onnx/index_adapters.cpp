#include "adapters.h"

#include <weft/ops/arithmetic.h>
#include <weft/ops/creation.h>
#include <weft/ops/embedding.h>
#include <weft/ops/movement.h>
#include <weft/ops/one_hot.h>

namespace onnx_node {

using namespace weft;

namespace {

// The axis becomes the rows of a table; the indices' axes come to stand where it was.
Value gather(const Call& c) {
  const int axis = normalize_axis(c.integer("axis", 0), c.in(0).rank());
  const Value x = move_axis(c.in(0), axis, 0);
  const Value ids = wrapped(c.in(1), x.shape().extent(0));
  Shape result = ids.shape();
  for (int i = 1; i < x.rank(); ++i) result.push_back(x.dim(i));
  Value y = reshape(embedding(reshape(x, {x.dim(0), -1}), ids), result);
  for (int i = 0; i < ids.rank(); ++i) y = move_axis(y, 0, axis + ids.rank() - 1);
  return y;
}

Value one_hot_of(const Call& c) {
  const auto depth = static_cast<std::int64_t>(c.number(1));
  const Value hot = one_hot(wrapped(cast(c.in(0), i64), depth), depth, boolean);
  const Value off_on = c.in(2);
  auto number = [&](std::int64_t i) { return squeeze(slice(off_on, {.axis = 0, .start = i, .stop = i + 1}), 0); };
  return move_axis(where(hot, number(1), number(0)), -1, c.integer("axis", -1));
}

}  // namespace

Adapters index_adapters() {
  return {
      {"Gather", gather},
      {"OneHot", one_hot_of},
  };
}

}  // namespace onnx_node
