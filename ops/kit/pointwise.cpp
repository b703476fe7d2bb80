#include <weft/ops/kit/pointwise.h>

#include <algorithm>

namespace weft {

BroadcastWalk::BroadcastWalk(const OpView& view) {
  WEFT_INVARIANT(view.inputs() <= max_operands, "{} operands", view.inputs());
  std::array<const Shape*, max_operands> in{};
  for (int i = 0; i < view.inputs(); ++i)
    if (view.has(i)) in[static_cast<std::size_t>(i)] = &view.shape(i);
  build(in, view.out_type(0).shape);
}

BroadcastWalk::BroadcastWalk(const Shape& in, const Shape& out) { build({&in}, out); }

void BroadcastWalk::build(const std::array<const Shape*, max_operands>& in, const Shape& out) {
  // From the last axis to the first; extents_[0] is the row until it is taken out at the end.
  Offsets dense;
  dense.fill(1);
  for (int axis = 1; axis <= out.rank(); ++axis) {
    const std::int64_t extent = out.extent(-axis);
    if (extent == 1) continue;
    Offsets stride{};
    for (std::size_t i = 0; i < max_operands; ++i) {
      if (in[i] == nullptr || axis > in[i]->rank() || in[i]->extent(-axis) == 1) continue;
      stride[i] = dense[i];
      dense[i] *= extent;
    }
    bool merges = axes_ > 0;
    if (merges) {
      const auto last = static_cast<std::size_t>(axes_ - 1);
      for (std::size_t i = 0; i < max_operands; ++i) merges &= stride[i] == strides_[last][i] * extents_[last];
    }
    if (merges) {
      extents_[static_cast<std::size_t>(axes_ - 1)] *= extent;
      continue;
    }
    WEFT_CHECK(axes_ < max_axes, "broadcasting alternates along more than {} axes: {}", max_axes, out.str());
    extents_[static_cast<std::size_t>(axes_)] = extent;
    strides_[static_cast<std::size_t>(axes_)] = stride;
    ++axes_;
  }
  std::reverse(extents_.begin(), extents_.begin() + axes_);
  std::reverse(strides_.begin(), strides_.begin() + axes_);
  if (axes_ == 0) return;  // one element
  --axes_;
  row_ = extents_[static_cast<std::size_t>(axes_)];
  for (std::size_t i = 0; i < max_operands; ++i) steps_[i] = strides_[static_cast<std::size_t>(axes_)][i] != 0;
  for (int axis = 0; axis < axes_; ++axis) rows_ *= extents_[static_cast<std::size_t>(axis)];
}

BroadcastWalk::Cursor BroadcastWalk::at_row(std::int64_t row) const {
  Cursor cursor;
  for (int axis = axes_ - 1; axis >= 0; --axis) {
    const auto a = static_cast<std::size_t>(axis);
    cursor.index[a] = row % extents_[a];
    row /= extents_[a];
    for (std::size_t i = 0; i < max_operands; ++i) cursor.offsets[i] += cursor.index[a] * strides_[a][i];
  }
  return cursor;
}

void BroadcastWalk::advance(Cursor& cursor) const {
  for (int axis = axes_ - 1; axis >= 0; --axis) {
    const auto a = static_cast<std::size_t>(axis);
    const bool wraps = ++cursor.index[a] == extents_[a];
    const std::int64_t steps = wraps ? 1 - extents_[a] : 1;
    for (std::size_t i = 0; i < max_operands; ++i) cursor.offsets[i] += steps * strides_[a][i];
    if (!wraps) return;
    cursor.index[a] = 0;
  }
}

}  // namespace weft
