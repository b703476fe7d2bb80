#include "adapters.h"

#include <weft/ops/index/index.h>
#include <weft/ops/index/one_hot.h>
#include <weft/ops/index/sort.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/arrange.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <numeric>

namespace onnx_node {

using namespace weft;

namespace {

using Integers = Call::Integers;

// The indices' axes stand where the axis was.
Value select(const Value& x, int axis, const Value& ids) {
  Shape shape = x.shape();
  shape.erase(axis);
  for (int i = 0; i < ids.rank(); ++i) shape.insert(axis + i, ids.dim(i));
  return reshape(index_select(x, axis, reshape(ids, {ids.shape().count()})), shape);
}

Value gather_of(const Call& c) {
  const Value x = c.in(0);
  const int axis = normalize_axis(c.integer("axis", 0), x.rank());
  return select(x, axis, wrapped(c.in(1), x.shape().extent(axis)));
}

Value gather_elements(const Call& c) {
  const Value x = c.in(0);
  const std::int64_t axis = c.integer("axis", 0);
  return gather(x, axis, wrapped(c.in(1), x.shape().extent(normalize_axis(axis, x.rank()))));
}

/// data with updates at places; `put` adds them to a tensor of data's shape.
template <class Put>
Value scattered(const Call& c, const Value& data, const Value& updates, Put put) {
  const std::string reduction = c.text("reduction", "none");
  if (reduction == "add") return put(data, updates);
  if (reduction == "max" || reduction == "min") throw NotCovered("scatter of the largest or least");
  if (reduction != "none") throw NotCovered("scatter that multiplies");
  const Value hit = greater(put(zeros_like(data), ones_like(updates)), 0);
  return where(hit, put(zeros_like(data), updates), data);
}

Value scatter_elements(const Call& c) {
  const Value x = c.in(0);
  const int axis = normalize_axis(c.integer("axis", 0), x.rank());
  const Value ids = wrapped(c.in(1), x.shape().extent(axis));
  return scattered(c, x, c.in(2), [&](const Value& to, const Value& from) { return scatter_add(to, axis, ids, from); });
}

struct Rows {
  Value data, ids;  ///< [rows, rest..], [..] of rows: the first axes of the operand as one
  Shape rest;
};

// Indices [.., k] that name the k axes behind the first `batch` ones, which data and indices share.
Rows rows_of(const Value& x, const Value& indices, int batch) {
  const auto k = static_cast<int>(indices.shape().extent(indices.rank() - 1));
  Rows rows;
  std::int64_t count = 1;
  for (int i = 0; i < batch + k; ++i) count *= x.shape().extent(i);
  for (int i = batch + k; i < x.rank(); ++i) rows.rest.push_back(x.dim(i));
  Shape flat = rows.rest;
  flat.insert(0, count);
  rows.data = reshape(x, flat);
  auto shaped = [&](const Value& v, int at) {  // along axis `at` of the indices without their last one
    Shape shape;
    for (int i = 0; i < indices.rank() - 1; ++i) shape.push_back(i == at ? v.dim(0) : Dim(1));
    return reshape(v, shape);
  };
  Value ids;
  for (int i = 0; i < batch + k; ++i) {
    const std::int64_t extent = x.shape().extent(i);
    const Value here =
        i < batch
            ? shaped(iota(x.graph(), extent), i)
            : wrapped(squeeze(slice(indices, {.axis = -1, .start = i - batch, .stop = i - batch + 1}), -1), extent);
    ids = ids.valid() ? ids * extent + here : here;
  }
  rows.ids = ids;
  return rows;
}

Value gather_nd(const Call& c) {
  const Rows rows = rows_of(c.in(0), c.in(1), static_cast<int>(c.integer("batch_dims", 0)));
  return select(rows.data, 0, rows.ids);
}

Value scatter_nd(const Call& c) {
  const Value x = c.in(0);
  const Rows rows = rows_of(x, c.in(1), 0);
  const Value ids = reshape(rows.ids, {-1});
  Shape flat = rows.rest;
  flat.insert(0, ids.dim(0));
  auto put = [&](const Value& to, const Value& from) { return index_add(to, 0, ids, from); };
  return reshape(scattered(c, rows.data, reshape(c.in(2), flat), put), x.shape());
}

// The first `length` elements of each example in reverse.
Value reverse_sequence(const Call& c) {
  const Value x = c.in(0);
  const auto time = static_cast<int>(c.integer("time_axis", 0)), batch = static_cast<int>(c.integer("batch_axis", 1));
  Shape along_time, along_batch;
  for (int i = 0; i < x.rank(); ++i) {
    along_time.push_back(i == time ? x.dim(i) : Dim(1));
    along_batch.push_back(i == batch ? x.dim(i) : Dim(1));
  }
  const Value t = reshape(iota(c.graph(), x.dim(time)), along_time);
  const Value length = reshape(c.in(1), along_batch);
  return gather(x, time, broadcast_to(where(less(t, length), length - 1 - t, t), x.shape()));
}

Values top_k(const Call& c) {
  if (c.integer("sorted", 1) == 0) throw NotCovered("an order that is left open");
  const Sorted best =
      topk(c.in(0), static_cast<std::int64_t>(c.number(1)), c.integer("axis", -1), c.integer("largest", 1) != 0);
  return {best.values, best.indices};
}

Value trilu(const Call& c) {
  const std::int64_t diagonal = c.has(1) ? static_cast<std::int64_t>(c.number(1)) : 0;
  return c.integer("upper", 1) != 0 ? triu(c.in(0), diagonal) : tril(c.in(0), diagonal);
}

// Negative pads cut off. Edge, reflect and wrap name, for each place of the result, the place in x that it shows.
Value padded(const Call& c) {
  Value x = c.in(0);
  const Integers pads = c.integers(1, "pads");
  const std::string mode = c.text("mode", "constant");
  const auto rank = static_cast<std::size_t>(x.rank());
  std::vector<Padding> padding(rank);
  Integers axes(rank);
  std::iota(axes.begin(), axes.end(), 0);
  if (c.has(3)) axes = c.integers(3);
  for (std::size_t i = 0; i < axes.size(); ++i)
    padding[static_cast<std::size_t>(normalize_axis(axes[i], x.rank()))] = {pads[i], pads[i + axes.size()]};
  if (mode == "constant") return pad(x, padding, c.has(2) ? c.number(2) : c.number("value", 0.0));
  for (std::size_t i = 0; i < rank; ++i) {
    const auto axis = static_cast<std::int64_t>(i);
    const std::int64_t n = x.shape().extent(static_cast<int>(i));
    std::vector<std::int64_t> ids;
    for (std::int64_t k = -padding[i].before; k < n + padding[i].after; ++k) {
      const std::int64_t mirrored = k < 0 ? -k : k >= n ? 2 * (n - 1) - k : k;
      const std::int64_t around = (k % n + n) % n;
      ids.push_back(mode == "edge" ? std::clamp<std::int64_t>(k, 0, n - 1) : mode == "wrap" ? around : mirrored);
    }
    const Tensor places =
        Tensor::of<std::int64_t>({static_cast<std::int64_t>(ids.size())}, std::span<const std::int64_t>(ids));
    x = index_select(x, axis, c.graph().constant(constant_of(places)));
  }
  return x;
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
      {"Gather", gather_of},
      {"GatherElements", gather_elements},
      {"GatherND", gather_nd},
      {"Scatter", scatter_elements},
      {"ScatterElements", scatter_elements},
      {"ScatterND", scatter_nd},
      {"ReverseSequence", reverse_sequence},
      {"TopK", top_k},
      {"Trilu", trilu},
      {"Pad", padded},
      {"OneHot", one_hot_of},
  };
}

}  // namespace onnx_node
