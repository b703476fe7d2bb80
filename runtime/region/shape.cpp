#include <weft/runtime/region/shape.h>

#include <weft/graph/user_rule.h>

#include <algorithm>

namespace weft {
namespace {

using Cut = RowPart::Cut;

std::int64_t leading(const Shape& shape) {
  std::int64_t rows = 1;
  for (int axis = 0; axis + 1 < shape.rank(); ++axis) rows *= shape.extent(axis);
  return rows;
}
std::int64_t last(const Shape& shape) { return shape.rank() == 0 ? 1 : shape.extent(-1); }

// Axes [0, rank - 1) of both are the same.
bool same_rows(const Shape& a, const Shape& b) {
  if (a.rank() != b.rank()) return false;
  for (int axis = 0; axis + 1 < a.rank(); ++axis)
    if (a.extent(axis) != b.extent(axis)) return false;
  return true;
}

// An operand of a pointwise node beside the shape to which it broadcasts.
std::optional<RowPart> broadcast_part(const Shape& in, const Shape& out) {
  RowPart part{.width = last(in)};
  if (in.rank() > 0 && same_rows(in, out)) {
    part.cut = Cut::rows;
    return part;
  }
  // Leading axes: ones, then those of the output.
  bool ones = false;
  for (int axis = 2; axis <= out.rank(); ++axis) {
    const std::int64_t extent = axis <= in.rank() ? in.extent(-axis) : 1;
    if (extent == 1 && out.extent(-axis) != 1) ones = true;
    else if (extent != 1 && ones) return std::nullopt;
    part.period *= extent;
  }
  if (part.period > 1) part.cut = Cut::cycles;
  return part;
}

// A block must be a node of its own: the shape rule gives the types that a block of the outputs has.
bool holds(const OpView& view, const RowShape& shape, std::int64_t rows) {
  std::vector<TensorType> in;
  std::vector<const TensorType*> pointers;
  in.reserve(shape.in.size());
  for (int i = 0; i < view.inputs(); ++i) {
    pointers.push_back(nullptr);
    if (!view.has(i)) continue;
    in.push_back(block_type(view.type(i), shape.in[static_cast<std::size_t>(i)], rows, shape.width, shape.width));
    pointers.back() = &in.back();
  }
  try {
    const std::vector<TensorType> out =
        user_rule("its shape rule", [&] { return view.op.infer({view.op, view.attributes, pointers, {}}); });
    if (out.size() != shape.out.size()) return false;
    for (std::size_t k = 0; k < out.size(); ++k)
      if (out[k] != block_type(view.out[k], shape.out[k], rows, shape.width, shape.width)) return false;
    return true;
  } catch (const UserError&) {
    return false;  // of a user's op, whose rule wants the whole
  }
}

bool find_pointwise(const OpView& view, RowShape& shape) {
  const Shape& domain = view.out_type(0).shape;
  for (const TensorType& type : view.out)
    if (type.shape != domain) return false;
  for (int i = 0; i < view.inputs(); ++i) {
    shape.in.emplace_back();
    if (!view.has(i)) continue;
    const auto part = broadcast_part(view.shape(i), domain);
    if (!part) return false;
    shape.in.back() = *part;
  }
  shape.out.assign(view.out.size(), {.cut = Cut::rows, .width = last(domain)});
  shape.rows = leading(domain);
  return true;
}

bool find_row_wise(const OpView& view, RowShape& shape) {
  if (view.inputs() == 0 || !view.has(0) || view.shape(0).rank() == 0) return false;
  const Shape& domain = view.shape(0);
  for (int i = 0; i < view.inputs(); ++i) {
    shape.in.emplace_back();
    if (!view.has(i)) continue;
    shape.in.back() = {.cut = same_rows(view.shape(i), domain) ? Cut::rows : Cut::whole, .width = last(view.shape(i))};
  }
  for (const TensorType& type : view.out) {
    Shape flat = domain;
    flat.erase(-1 + domain.rank());
    if (same_rows(type.shape, domain)) shape.out.push_back({.cut = Cut::rows, .width = last(type.shape)});
    else if (type.shape == flat && flat.rank() > 0) shape.out.push_back({.cut = Cut::rows, .width = 1, .flat = true});
    else return false;
  }
  shape.rows = leading(domain);
  shape.whole_rows = true;
  return true;
}

}  // namespace

TensorType block_type(const TensorType& type, const RowPart& part, std::int64_t rows, std::int64_t columns,
                      std::int64_t node_width) {
  TensorType block = type;
  if (!part.flat && part.width == node_width && type.shape.rank() > 0) block.shape[-1] = columns;
  if (part.cut == Cut::whole) return block;
  const int of_rows = part.flat ? 1 : 2;
  for (int axis = of_rows; axis <= type.shape.rank(); ++axis) block.shape[-axis] = axis == of_rows ? rows : 1;
  return block;
}

std::optional<RowShape> row_shape(const OpView& view) {
  const Traits& traits = view.op.traits;
  const bool row_wise =
      view.op.row_wise != nullptr && user_rule("its row-wise rule", [&] { return view.op.row_wise(view); });
  if (!row_wise && (!traits.pointwise || traits.random)) return std::nullopt;
  if (traits.source || traits.view || traits.per_micro_batch || traits.gathers || traits.guard || !traits.recomputable)
    return std::nullopt;
  if (view.op.kernel(kernel_dtype(view)) == nullptr) return std::nullopt;
  for (int i = 0; i < view.inputs(); ++i)
    if (view.has(i) && view.type(i).count() == 0) return std::nullopt;
  for (const TensorType& type : view.out)
    if (type.count() == 0 || type.shape.rank() == 0) return std::nullopt;
  RowShape shape;
  if (!(row_wise ? find_row_wise(view, shape) : find_pointwise(view, shape))) return std::nullopt;
  for (const RowPart& part : shape.out) shape.width = std::max(shape.width, part.width);
  for (const RowPart& part : shape.in)
    if (part.cut != Cut::whole) shape.width = std::max(shape.width, part.width);
  // One row is what every node has; two show that the rule takes any number of them.
  if (!holds(view, shape, 1) || (shape.rows > 1 && !holds(view, shape, 2))) return std::nullopt;
  return shape;
}

}  // namespace weft
