#include <weft/ops/reduce/reduce_kernel.h>

#include <algorithm>

namespace weft {

std::vector<int> reduced_axes(const OpView& view) {
  const int rank = view.shape(0).rank();
  std::vector<int> axes;
  for (std::int64_t axis : view.attributes.integers("axes")) axes.push_back(normalize_axis(axis, rank));
  if (axes.empty())
    for (int axis = 0; axis < rank; ++axis) axes.push_back(axis);
  std::sort(axes.begin(), axes.end());
  WEFT_CHECK(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), "an axis is named twice: {}",
             str(Attribute(view.attributes.integers("axes"))));
  return axes;
}

ReduceShape::ReduceShape(const OpView& view) {
  const Shape& shape = view.shape(0);
  const std::vector<int> axes = reduced_axes(view);
  auto is_reduced = [&](int axis) { return std::find(axes.begin(), axes.end(), axis) != axes.end(); };
  // Runs of reduced axes that count: axes of extent 1 belong to either side.
  int runs = 0;
  bool before = false;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape.extent(axis) == 1) continue;
    if (is_reduced(axis) && !before) ++runs;
    before = is_reduced(axis);
  }
  if (runs <= 1) {
    bool passed = false;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      if (shape.extent(axis) == 1) continue;
      if (is_reduced(axis)) {
        passed = true;
        reduced *= shape.extent(axis);
      } else {
        (passed ? inner : outer) *= shape.extent(axis);
      }
    }
    if (!passed && runs == 0) inner = 1;
    return;
  }
  const std::vector<std::int64_t> strides = strides_of(shape);
  for (const bool want : {false, true})
    for (int axis = 0; axis < shape.rank(); ++axis) {
      if (is_reduced(axis) != want) continue;
      gathered_extents.push_back(shape.extent(axis));
      gathered_strides.push_back(strides[static_cast<std::size_t>(axis)]);
      (want ? reduced : outer) *= shape.extent(axis);
    }
}

}  // namespace weft
