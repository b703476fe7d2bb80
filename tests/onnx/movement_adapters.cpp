#include "adapters.h"

#include <weft/ops/shape/arrange.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <numeric>

namespace onnx_node {

using namespace weft;

namespace {

using Integers = Call::Integers;

Shape shape_of(const Integers& extents) { return Shape(std::span(extents)); }

// 0 keeps the extent, unless allowzero.
Value reshaped(const Call& c) {
  const Value x = c.in(0);
  Integers extents = c.integers(1);
  for (std::size_t i = 0; i < extents.size(); ++i)
    if (extents[i] == 0 && c.integer("allowzero", 0) == 0) extents[i] = x.shape().extent(static_cast<int>(i));
  return reshape(x, shape_of(extents));
}

Value flattened(const Call& c) {
  const Value x = c.in(0);
  const std::int64_t axis = c.integer("axis", 1);
  const std::int64_t split = axis < 0 ? axis + x.rank() : axis;
  std::int64_t rows = 1;
  for (int i = 0; i < split; ++i) rows *= x.shape().extent(i);
  return reshape(x, {rows, x.shape().count() / rows});
}

Value transposed(const Call& c) {
  Integers order(static_cast<std::size_t>(c.in(0).rank()));
  std::iota(order.rbegin(), order.rend(), 0);
  return transpose(c.in(0), c.integers("perm", order));
}

Value squeezed(const Call& c) {
  Value x = c.in(0);
  Integers axes = c.integers(1, "axes");
  for (std::int64_t& axis : axes) axis = normalize_axis(axis, x.rank());
  if (axes.empty())
    for (int axis = 0; axis < x.rank(); ++axis)
      if (x.shape().extent(axis) == 1) axes.push_back(axis);
  std::ranges::sort(axes, std::greater());
  for (const std::int64_t axis : axes) x = squeeze(x, axis);
  return x;
}

// Axes count in the result.
Value unsqueezed(const Call& c) {
  Value x = c.in(0);
  Integers axes = c.integers(1, "axes");
  for (std::int64_t& axis : axes) axis = normalize_axis(axis, x.rank() + static_cast<int>(axes.size()));
  std::ranges::sort(axes);
  for (const std::int64_t axis : axes) x = unsqueeze(x, axis);
  return x;
}

Value expanded(const Call& c) { return broadcast_to(c.in(0), broadcast(c.in(0).shape(), shape_of(c.integers(1)))); }

// [n, ..] becomes [copies, n, ..] becomes [copies n, ..], for each axis.
Value tiled(const Call& c) {
  Value x = c.in(0);
  const Integers copies = c.integers(1);
  for (int axis = 0; axis < x.rank(); ++axis) {
    const std::int64_t n = copies.at(static_cast<std::size_t>(axis));
    Shape many = x.shape();
    many.insert(axis, n);
    Shape merged = x.shape();
    merged[axis] = n * x.dim(axis);
    x = reshape(broadcast_to(unsqueeze(x, axis), many), merged);
  }
  return x;
}

Values parts(const Call& c) {
  const Value x = c.in(0);
  const std::int64_t axis = c.integer("axis", 0);
  Integers sizes = c.integers(1, "split");
  const auto count = static_cast<std::int64_t>(c.outputs());
  const std::int64_t n = x.shape().extent(normalize_axis(axis, x.rank())), each = (n + count - 1) / count;
  if (sizes.empty()) {  // the last one may be smaller
    sizes.assign(c.outputs(), each);
    sizes.back() = n - each * (count - 1);
  }
  Values result;
  std::int64_t start = 0;
  for (const std::int64_t size : sizes) {
    result.push_back(slice(x, {.axis = axis, .start = start, .stop = start + size}));
    start += size;
  }
  return result;
}

// Each axis cut or padded by zeros to its extent, as much before as behind; of an odd number one more behind.
Value centred(const Call& c) {
  Value x = c.in(0);
  const Integers extents = c.integers(1);
  Integers axes(extents.size());
  std::iota(axes.begin(), axes.end(), 0);
  axes = c.integers("axes", axes);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int axis = normalize_axis(axes[i], x.rank());
    const std::int64_t n = x.shape().extent(axis), more = extents[i] - n;
    if (more < 0) x = slice(x, {.axis = axis, .start = -more / 2, .stop = -more / 2 + extents[i]});
    if (more <= 0) continue;
    std::vector<Padding> padding(static_cast<std::size_t>(x.rank()));
    padding[static_cast<std::size_t>(axis)] = {more / 2, more - more / 2};
    x = pad(x, padding, 0);
  }
  return x;
}

Value sliced(const Call& c) {
  Value x = c.in(0);
  const Integers starts = c.integers(1);
  const Integers ends = c.integers(2);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::int64_t axis = c.has(3) ? c.integers(3)[i] : static_cast<std::int64_t>(i);
    const std::int64_t step = c.has(4) ? c.integers(4)[i] : 1;
    const std::int64_t n = x.shape().extent(static_cast<int>(axis));
    auto within = [n](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + n : at, 0, n); };
    if (step > 0) {
      x = slice(x, {.axis = axis, .start = within(starts[i]), .stop = within(ends[i]), .step = step});
      continue;
    }
    // Backwards from start to past stop: forwards in the reversed operand.
    auto reversed = [n](std::int64_t at) { return std::clamp<std::int64_t>(n - 1 - (at < 0 ? at + n : at), 0, n); };
    x = slice(flip(x, {axis}), {.axis = axis, .start = reversed(starts[i]), .stop = reversed(ends[i]), .step = -step});
  }
  return x;
}

// Blocks of b x b between the channels and the plane; DCR: the block's place is the outer part of a channel's index.
Value depth_to_space(const Call& c) {
  const Value x = c.in(0);
  const std::int64_t b = c.integer("blocksize", 1);
  const Dim n = x.dim(0), depth = x.shape().extent(1) / (b * b), h = x.dim(2), w = x.dim(3);
  const Value moved = c.text("mode", "DCR") == "DCR"
                          ? transpose(reshape(x, {n, b, b, depth, h, w}), {0, 3, 4, 1, 5, 2})
                          : transpose(reshape(x, {n, depth, b, b, h, w}), {0, 1, 4, 2, 5, 3});
  return reshape(moved, {n, depth, h * b, w * b});
}

Value space_to_depth(const Call& c) {
  const Value x = c.in(0);
  const std::int64_t b = c.integer("blocksize", 1);
  const Dim n = x.dim(0), depth = x.dim(1), h = x.shape().extent(2) / b, w = x.shape().extent(3) / b;
  return reshape(transpose(reshape(x, {n, depth, h, b, w, b}), {0, 3, 5, 1, 2, 4}), {n, depth * b * b, h, w});
}

}  // namespace

Adapters movement_adapters() {
  return {
      {"Identity", [](const Call& c) { return c.in(0); }},
      {"Reshape", reshaped},
      {"Flatten", flattened},
      {"Transpose", transposed},
      {"Squeeze", squeezed},
      {"Unsqueeze", unsqueezed},
      {"Expand", expanded},
      {"Tile", tiled},
      {"Concat", [](const Call& c) { return concatenate(c.all(), c.integer("axis", 0)); }},
      {"Split", parts},
      {"Slice", sliced},
      {"CenterCropPad", centred},
      {"DepthToSpace", depth_to_space},
      {"SpaceToDepth", space_to_depth},
  };
}

}  // namespace onnx_node
