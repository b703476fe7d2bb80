// What gather, scatter_add, index_select and index_add share. Private to ops/.
#pragma once

#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/kernel.h>

#include <numeric>

namespace weft::index_rules {

inline int axis_of(const OpView& view, const Shape& shape) {
  return normalize_axis(view.attributes.integer("axis"), shape.rank());
}

/// x with `axis` as the last one, and back.
inline Value axis_last(const Value& x, int axis) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(x.rank()));
  std::iota(order.begin(), order.end(), 0);
  order.erase(order.begin() + axis);
  order.push_back(axis);
  return transpose(x, order);
}
inline Value axis_back(const Value& x, int axis) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(x.rank() - 1));
  std::iota(order.begin(), order.end(), 0);
  order.insert(order.begin() + axis, x.rank() - 1);
  return transpose(x, order);
}

/// [.., i, k]: whether ids[.., i] = k.
inline Value hits(const Value& ids, const Dim& places) {
  return equal(unsqueeze(ids, -1), iota(ids.graph(), places, ids.dtype()));
}

/// Sums of a source by ids along `axis`: where the batch lies in `to`. `along`: the axis of the source that the ids'
/// batch axis stands for.
inline BatchState batch_of_sums(const Shape& from, const Shape& to, int axis, const BatchState& source,
                                const BatchState& ids, int along) {
  using Kind = BatchState::Kind;
  if (ids.kind == Kind::free && source.kind == Kind::free) return {};
  const bool fits = source.in_shape() && source.axis != axis && to.extent(source.axis) == from.extent(source.axis);
  if (ids.kind == Kind::free) return !source.in_shape() ? source : fits ? source : BatchState::mixed();
  const bool together = source.kind == Kind::split &&
                        ids == BatchState{Kind::split, ids.axis, source.outer, source.inner} && along == source.axis;
  if (together && source.axis == axis) return BatchState::summed();
  if (together && fits) return source;
  return fits ? source.as_mixed() : BatchState::mixed();
}

using Run = void (*)(KernelContext&);
template <Run a, Run b, Run c, Run d, Run e, Run f>
std::vector<Kernel> index_add_kernels(std::size_t (*narrow_sums)(const OpView&, int) = nullptr) {
  return {{.dtype = f32, .run = a},
          {.dtype = f64, .run = b},
          {.dtype = bf16, .run = c, .workspace = narrow_sums},
          {.dtype = f16, .run = d, .workspace = narrow_sums},
          {.dtype = i32, .run = e},
          {.dtype = i64, .run = f}};
}
template <Run a, Run b, Run c, Run d, Run e, Run f, Run g>
std::vector<Kernel> index_kernels() {
  std::vector<Kernel> kernels = index_add_kernels<a, b, c, d, e, f>();
  kernels.push_back({.dtype = boolean, .run = g});
  return kernels;
}

}  // namespace weft::index_rules
