#include <weft/ops/index/index.h>

#include <weft/graph/registry.h>
#include <weft/ops/index/ids.h>
#include <weft/ops/index/index_rules.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/kernel.h>

#include <algorithm>

namespace weft {
using namespace index_rules;
namespace {

// --- gather(x, ids): y[.., i, ..] = x[.., ids[.., i, ..], ..] ---

void expect_inside(const Shape& ids, const Shape& x, int axis) {
  WEFT_CHECK(ids.rank() == x.rank(), "ids must have the rank of x: {}, got {}", x.str(), ids.str());
  for (int a = 0; a < x.rank(); ++a)
    WEFT_CHECK(a == axis || ids.extent(a) <= x.extent(a), "ids {} are larger than x {} along axis {}", ids.str(),
               x.str(), a);
}

std::vector<TensorType> infer_gather(const OpView& view) {
  expect_integer(view, 1);
  expect_inside(view.shape(1), view.shape(0), axis_of(view, view.shape(0)));
  return {{view.type(0).dtype, view.shape(1)}};
}

// Linear in x; examples stay apart where ids and x have them at the same place, or where ids alone have them.
std::vector<BatchState> batch_gather(const OpView& view, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  const int axis = axis_of(view, view.shape(0));
  const BatchState &x = in[0], &ids = in[1];
  if (ids.kind == Kind::free) {
    if (!x.in_shape()) return {x};
    const bool whole = x.axis != axis && view.shape(0).extent(x.axis) == view.shape(1).extent(x.axis);
    return {whole ? x : BatchState::mixed()};
  }
  if (x.kind == Kind::free) return {ids.kind == Kind::split && ids.axis == axis ? ids : ids.as_mixed()};
  const bool together = x == ids && x.axis != axis && view.shape(0).extent(x.axis) == view.shape(1).extent(x.axis);
  return {together ? x : ids.as_mixed()};
}

// The lines of ids along the axis, each on its own: y's (or the source's) places are those of ids.
template <class F>
void for_lines(const Shape& ids, const Shape& x, int axis, F&& line) {
  const std::int64_t inner = extent_product(ids, axis + 1, ids.rank()), lines = extent_product(ids, 0, axis) * inner;
  std::int64_t step = extent_product(x, axis + 1, x.rank());
  for_row_tiles(lines, ids.extent(axis), [&](std::int64_t begin, std::int64_t end, int slot) {
    for (std::int64_t l = begin; l < end; ++l) {
      std::int64_t rest = l, at = 0, stride = 1;
      for (int a = ids.rank() - 1; a >= 0; --a) {
        if (a != axis) {
          at += rest % ids.extent(a) * stride;
          rest /= ids.extent(a);
        }
        stride *= x.extent(a);
      }
      line(l / inner * inner * ids.extent(axis) + l % inner, inner, at, step, slot);
    }
  });
}

template <class T>
void gather_kernel(KernelContext& context) {
  const int axis = axis_of(context.view(), context.type(0).shape);
  const Shape &x = context.type(0).shape, &shape = context.type(1).shape;
  const Ids ids(context, 1, x.extent(axis), "id", "place along the axis");
  const T* from = context.in<T>(0);
  T* y = context.out<T>(0);
  for_lines(shape, x, axis, [&](std::int64_t first, std::int64_t stride, std::int64_t at, std::int64_t step, int) {
    for (std::int64_t i = 0; i < shape.extent(axis); ++i)
      y[first + i * stride] = from[at + ids[first + i * stride] * step];
  });
}

Values gather_plain(const Plain& p) {
  const int axis = normalize_axis(p.attributes.integer("axis"), p.in[0].rank());
  Value x = p.in[0];
  for (int a = 0; a < x.rank(); ++a)
    if (a != axis && x.shape().extent(a) != p.in[1].shape().extent(a))
      x = slice(x, {.axis = a, .start = 0, .stop = p.in[1].shape().extent(a)});
  const Value hit = hits(axis_last(p.in[1], axis), x.dim(axis));  // [.., i, k]
  const Value rows = unsqueeze(axis_last(x, axis), -2);           // [.., 1, k]
  return axis_back(sum(where(hit, rows, 0.0), {.axes = {-1}}), axis);
}

// --- scatter_add(source, ids): y[.., ids[.., i, ..], ..] += source[.., i, ..] ---

std::vector<TensorType> infer_scatter_add(const OpView& view) {
  expect_integer(view, 1);
  const Shape& to = view.attributes.shape("shape");
  expect_inside(view.shape(1), to, axis_of(view, to));
  expect_shape(view, 0, view.shape(1), "the source");
  WEFT_CHECK(view.type(0).dtype != boolean, "sums need numbers, got {}", view.type(0).str());
  return {{view.type(0).dtype, to}};
}

std::vector<BatchState> batch_scatter_add(const OpView& view, std::span<const BatchState> in) {
  return {batch_of_sums(view.shape(0), view.attributes.shape("shape"), axis_of(view, view.attributes.shape("shape")),
                        in[0], in[1], in[1].axis)};
}

// A line's sums in f32, for types that are converted.
template <class T>
std::size_t line_sums(const OpView& view, int threads) {
  const Shape& to = view.attributes.shape("shape");
  return is_narrow<T> ? static_cast<std::size_t>(threads * to.extent(axis_of(view, to))) * sizeof(float) : 0;
}

template <class T>
void scatter_add_kernel(KernelContext& context) {
  const Shape &shape = context.type(0).shape, &to = context.out_type(0).shape;
  const int axis = axis_of(context.view(), to);
  const std::int64_t n = shape.extent(axis), places = to.extent(axis);
  const Ids ids(context, 1, places, "id", "place along the axis");
  const T* source = context.in<T>(0);
  T* y = context.out<T>(0);
  auto* buffers = reinterpret_cast<float*>(context.workspace());
  std::fill_n(y, to.count(), T{});
  for_lines(shape, to, axis,
            [&](std::int64_t first, std::int64_t stride, std::int64_t at, std::int64_t step, int slot) {
              if constexpr (is_narrow<T>) {
                float* sums = buffers + slot * places;
                std::fill_n(sums, places, 0.0F);
                for (std::int64_t i = 0; i < n; ++i)
                  sums[ids[first + i * stride]] += static_cast<float>(source[first + i * stride]);
                for (std::int64_t k = 0; k < places; ++k) y[at + k * step] = T(sums[k]);
              } else {
                for (std::int64_t i = 0; i < n; ++i)
                  y[at + ids[first + i * stride] * step] += source[first + i * stride];
              }
            });
}

Values scatter_add_plain(const Plain& p) {
  const Shape& to = p.out[0].shape;
  const int axis = normalize_axis(p.attributes.integer("axis"), to.rank());
  const Value hit = hits(axis_last(p.in[1], axis), to[axis]);  // [.., i, k]
  const Value rows = unsqueeze(axis_last(p.in[0], axis), -1);  // [.., i, 1]
  Value y = axis_back(sum(where(hit, rows, 0.0), {.axes = {-2}}), axis);
  for (int a = 0; a < to.rank(); ++a)
    if (y.shape().extent(a) != to.extent(a)) y = slice_scatter(y, a, 0, 1, to[a]);
  return y;
}

Attributes along(std::int64_t axis) { return {{"axis", axis}}; }
Attributes into(std::int64_t axis, Shape shape) { return {{"axis", axis}, {"shape", std::move(shape)}}; }

}  // namespace

const OpDef& gather_op() {
  using sample::integers, sample::normal;
  static const OpDef op{
      .name = "gather",
      .law = "y[.., i, ..] = x[.., ids[.., i, ..], ..] along `axis`",
      .source = "torch.gather",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = infer_gather,
      .batch = batch_gather,
      .backward =
          [](Backward& b) {
            b.input(0, build(scatter_add_op(), {b.cotangent(0), b.in(1)},
                             into(b.attributes().integer("axis"), b.in(0).shape())));
          },
      .plain = gather_plain,
      .terms = linear_in({0}, {{1}}),
      .traits = {.refuses = true},
      .kernels =
          index_kernels<gather_kernel<float>, gather_kernel<double>, gather_kernel<bfloat16>, gather_kernel<float16>,
                        gather_kernel<std::int32_t>, gather_kernel<std::int64_t>, gather_kernel<bool>>(),
      .samples = {{{normal({3, 5}).batched(0), integers({3, 4}, 0, 5).batched(0)}, along(1)},
                  {{normal({4, 3, 2}).batched(1), integers({5, 3, 2}, 0, 4).batched(1)}, along(-3)},
                  {{normal({5, 4}), integers({3, 2}, 0, 5)}, along(0)},
                  {{normal({6}), integers({1}, 0, 6)}, along(0)},
                  {{normal({9, 70}).batched(0), integers({9, 2000}, 0, 70).batched(0)}, along(1), false},
                  {{sample::extremes({4, 9}), integers({4, 7}, 0, 9)}, along(1), false}},
      .bad_samples = {{{{f32, {3, 5}}, {f32, {3, 4}}}, along(1), "i32 or i64"},
                      {{{f32, {3, 5}}, {i64, {3}}}, along(1), "the rank of x"},
                      {{{f32, {3, 5}}, {i64, {4, 5}}}, along(1), "larger than x"},
                      {{{f32, {3, 5}}, {i64, {3, 5}}}, along(2), "axis 2 is outside"}},
  };
  return op;
}

const OpDef& scatter_add_op() {
  using sample::integers, sample::normal;
  static const OpDef op{
      .name = "scatter_add",
      .law = "y[.., ids[.., i, ..], ..] = sum of source[.., i, ..] along `axis`, 0 where no id points",
      .source = "torch.scatter_add",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = infer_scatter_add,
      .batch = batch_scatter_add,
      .backward =
          [](Backward& b) {
            b.input(0, build(gather_op(), {b.cotangent(0), b.in(1)}, along(b.attributes().integer("axis"))));
          },
      .plain = scatter_add_plain,
      .terms = adds_up({{1}}),
      .traits = {.refuses = true},
      .kernels = index_add_kernels<scatter_add_kernel<float>, scatter_add_kernel<double>, scatter_add_kernel<bfloat16>,
                                   scatter_add_kernel<float16>, scatter_add_kernel<std::int32_t>,
                                   scatter_add_kernel<std::int64_t>>(line_sums<bfloat16>),
      .samples = {{{normal({3, 7}).batched(0), integers({3, 7}, 0, 5).batched(0)},
                   into(1, {Dim::named("batch", 3), 5})},
                  {{normal({6, 3}).batched(0), integers({6, 3}, 0, 4).batched(0)}, into(0, {4, 3})},
                  {{normal({2, 3}), integers({2, 3}, 0, 4)}, into(-2, {4, 5})},
                  {{normal({1}), integers({1}, 0, 3)}, into(0, {3})},
                  {{normal({9, 2000}), integers({9, 2000}, 0, 70)}, into(1, {9, 70}), false},
                  {{sample::extremes({2, 18}), integers({2, 18}, 0, 9)}, into(1, {2, 9}), false}},
      .bad_samples = {{{{f32, {3}}, {f32, {3}}}, into(0, {4}), "i32 or i64"},
                      {{{f32, {4}}, {i64, {3}}}, into(0, {4}), "the source must be [3]"},
                      {{{f32, {3, 2}}, {i64, {3, 2}}}, into(0, {4, 1}), "larger than x"},
                      {{{boolean, {3}}, {i64, {3}}}, into(0, {4}), "sums need numbers"}},
  };
  return op;
}

Value gather(const Arg& x, std::int64_t axis, const Arg& ids) { return build(gather_op(), {x, ids}, along(axis)); }

Value scatter_add(const Arg& x, std::int64_t axis, const Arg& ids, const Arg& source) {
  const Value sums =
      build(scatter_add_op(), {source, ids}, into(axis, x.value().valid() ? x.value().shape() : Shape{}));
  return x.value() + sums;
}

}  // namespace weft
