#include <weft/graph/registry.h>
#include <weft/ops/index/ids.h>
#include <weft/ops/index/index.h>
#include <weft/ops/index/index_rules.h>
#include <weft/ops/index/one_hot.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/product/matmul.h>

#include <algorithm>
#include <cstring>

namespace weft {
using namespace index_rules;
namespace {

void expect_vector(const OpView& view, int i) {
  expect_integer(view, i);
  expect_rank(view, i, 1, "ids");
}

// --- index_select(x, ids): y[.., i, ..] = x[.., ids[i], ..] ---

std::vector<TensorType> infer_index_select(const OpView& view) {
  expect_vector(view, 1);
  Shape shape = view.shape(0);
  shape[axis_of(view, shape)] = view.shape(1)[0];
  return {{view.type(0).dtype, shape}};
}

std::vector<BatchState> batch_index_select(const OpView& view, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  const int axis = axis_of(view, view.shape(0));
  if (in[1].kind == Kind::free) return {in[0].in_shape() && in[0].axis == axis ? BatchState::mixed() : in[0]};
  if (in[0].kind == Kind::free) return {in[1].in_shape() ? in[1].moved_to(axis) : in[1].as_mixed()};
  return {in[1].in_shape() ? in[1].moved_to(axis).as_mixed() : BatchState::mixed()};
}

// One kernel for every dtype: rows of bytes.
void index_select_kernel(KernelContext& context) {
  const Shape& x = context.type(0).shape;
  const int axis = axis_of(context.view(), x);
  const Ids ids(context, 1, x.extent(axis), "id", "place along the axis");
  const std::int64_t count = ids.count(), extent = x.extent(axis), inner = extent_product(x, axis + 1, x.rank());
  const auto row = static_cast<std::int64_t>(size_of(context.type(0).dtype)) * inner;
  for_row_tiles(extent_product(x, 0, axis) * count, inner, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r)
      std::memcpy(context.out_bytes(0) + r * row, context.in_bytes(0) + (r / count * extent + ids[r % count]) * row,
                  static_cast<std::size_t>(row));
  });
}

Values index_select_plain(const Plain& p) {
  const int axis = normalize_axis(p.attributes.integer("axis"), p.in[0].rank());
  const Value x = axis_last(p.in[0], axis);  // [.., k]
  return axis_back(matmul(x, one_hot(p.in[1], p.in[0].dim(axis), x.dtype()), {.transpose_b = true}), axis);
}

// --- index_add(source, ids): y[.., ids[i], ..] += source[.., i, ..] ---

std::vector<TensorType> infer_index_add(const OpView& view) {
  expect_vector(view, 1);
  WEFT_CHECK(view.type(0).dtype != boolean, "sums need numbers, got {}", view.type(0).str());
  Shape shape = view.shape(0);
  const int axis = axis_of(view, shape);
  WEFT_CHECK(shape.extent(axis) == view.shape(1).extent(0),
             "expected an id for each of the {} rows of the source, got {}", shape.extent(axis),
             view.shape(1).extent(0));
  shape[axis] = view.attributes.shape("extent")[0];
  return {{view.type(0).dtype, shape}};
}

std::vector<BatchState> batch_index_add(const OpView& view, std::span<const BatchState> in) {
  const int axis = axis_of(view, view.shape(0));
  return {batch_of_sums(view.shape(0), view.out_type(0).shape, axis, in[0], in[1], axis)};
}

std::int64_t columns_of(const OpView& view) {
  const Shape& shape = view.shape(0);
  return std::min<std::int64_t>(256, extent_product(shape, axis_of(view, shape) + 1, shape.rank()));
}
// Sums of a block of columns in f32, for types that are converted.
std::size_t column_sums(const OpView& view, int threads) {
  return static_cast<std::size_t>(threads * columns_of(view) * view.attributes.shape("extent").extent(0)) *
         sizeof(float);
}

// A tile owns a block of columns, whose rows it adds in order.
template <class T>
void index_add_kernel(KernelContext& context) {
  const Shape& from = context.type(0).shape;
  const int axis = axis_of(context.view(), from);
  const std::int64_t places = context.out_type(0).shape.extent(axis), n = from.extent(axis);
  const std::int64_t inner = extent_product(from, axis + 1, from.rank()), outer = extent_product(from, 0, axis);
  const Ids ids(context, 1, places, "id", "place along the axis");
  const std::int64_t width = columns_of(context.view()),
                     blocks = (inner + width - 1) / std::max<std::int64_t>(1, width);
  parallel_for(outer * blocks, [&](std::int64_t tile, int slot) {
    const std::int64_t first = tile % blocks * width, count = std::min(width, inner - first);
    const T* source = context.in<T>(0) + tile / blocks * n * inner + first;
    T* y = context.out<T>(0) + tile / blocks * places * inner + first;
    if constexpr (is_narrow<T>) {
      float* sums = reinterpret_cast<float*>(context.workspace()) + slot * width * places;
      std::fill_n(sums, width * places, 0.0F);
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t c = 0; c < count; ++c) sums[ids[i] * width + c] += static_cast<float>(source[i * inner + c]);
      for (std::int64_t k = 0; k < places; ++k)
        for (std::int64_t c = 0; c < count; ++c) y[k * inner + c] = T(sums[k * width + c]);
    } else {
      for (std::int64_t k = 0; k < places; ++k) std::fill_n(y + k * inner, count, T{});
      for (std::int64_t i = 0; i < n; ++i) {
        T* row = y + ids[i] * inner;
        for (std::int64_t c = 0; c < count; ++c) row[c] = static_cast<T>(row[c] + source[i * inner + c]);
      }
    }
  });
}

Values index_add_plain(const Plain& p) {
  const int axis = normalize_axis(p.attributes.integer("axis"), p.in[0].rank());
  const Value x = axis_last(p.in[0], axis);  // [.., i]
  return axis_back(matmul(x, one_hot(p.in[1], p.attributes.shape("extent")[0], x.dtype())), axis);
}

Attributes along(std::int64_t axis) { return {{"axis", axis}}; }
Attributes into(std::int64_t axis, Dim extent) { return {{"axis", axis}, {"extent", Shape{extent}}}; }

}  // namespace

const OpDef& index_select_op() {
  using sample::integers, sample::normal;
  static const OpDef op{
      .name = "index_select",
      .law = "y[.., i, ..] = x[.., ids[i], ..] along `axis`",
      .source = "torch.index_select",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = infer_index_select,
      .batch = batch_index_select,
      .backward =
          [](Backward& b) {
            const std::int64_t axis = b.attributes().integer("axis");
            b.input(0, build(index_add_op(), {b.cotangent(0), b.in(1)},
                             into(axis, b.in(0).dim(normalize_axis(axis, b.in(0).rank())))));
          },
      .plain = index_select_plain,
      .reference = moved([](const OpView& view, Operands in, Indices at) -> std::optional<From> {
        std::int64_t& here = at[static_cast<std::size_t>(axis_of(view, view.shape(0)))];
        here = static_cast<std::int64_t>(in[1].at(static_cast<std::size_t>(here)));
        return From{0, at};
      }),
      .terms = linear_in({0}, {{1}}),
      .traits = {.refuses = true},
      .kernels = index_kernels<index_select_kernel, index_select_kernel, index_select_kernel, index_select_kernel,
                               index_select_kernel, index_select_kernel, index_select_kernel>(),
      .samples = {{{normal({4, 3}).batched(0), integers({5}, 0, 3)}, along(1)},
                  {{normal({6, 2}), integers({4}, 0, 6).batched(0)}, along(0)},
                  {{normal({2, 5, 3}), integers({7}, 0, 5)}, along(-2)},
                  {{normal({5}), integers({1}, 0, 5)}, along(0)},
                  {{normal({70, 300}), integers({900}, 0, 70)}, along(0), false},
                  {{sample::extremes({9, 4}), integers({12}, 0, 9)}, along(0), false}},
      .bad_samples = {{{{f32, {3}}, {f32, {3}}}, along(0), "i32 or i64"},
                      {{{f32, {3}}, {i64, {3, 1}}}, along(0), "ids must have rank 1"},
                      {{{f32, {3}}, {i64, {3}}}, along(1), "axis 1 is outside"}},
  };
  return op;
}

const OpDef& index_add_op() {
  using sample::integers, sample::normal;
  static const OpDef op{
      .name = "index_add",
      .law = "y[.., ids[i], ..] = sum of source[.., i, ..] along `axis`, 0 where no id points",
      .source = "torch.index_add",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = infer_index_add,
      .batch = batch_index_add,
      .backward =
          [](Backward& b) {
            b.input(0, build(index_select_op(), {b.cotangent(0), b.in(1)}, along(b.attributes().integer("axis"))));
          },
      .plain = index_add_plain,
      .reference = gathered_sums([](const OpView& view, Operands in, Indices at) -> std::optional<Indices> {
        std::int64_t& here = at[static_cast<std::size_t>(axis_of(view, view.shape(0)))];
        here = static_cast<std::int64_t>(in[1].at(static_cast<std::size_t>(here)));
        return at;
      }),
      .terms = adds_up({{1}}),
      .traits = {.refuses = true},
      .kernels =
          index_add_kernels<index_add_kernel<float>, index_add_kernel<double>, index_add_kernel<bfloat16>,
                            index_add_kernel<float16>, index_add_kernel<std::int32_t>, index_add_kernel<std::int64_t>>(
              column_sums),
      .samples = {{{normal({4, 6}).batched(0), integers({6}, 0, 3)}, into(1, 3)},
                  {{normal({5, 2}).batched(0), integers({5}, 0, 4).batched(0)}, into(0, 4)},
                  {{normal({2, 5, 3}), integers({5}, 0, 4)}, into(-2, 4)},
                  {{normal({1}), integers({1}, 0, 3)}, into(0, 3)},
                  {{normal({2, 900, 300}), integers({900}, 0, 70)}, into(1, 70), false},
                  {{sample::extremes({2, 18}), integers({18}, 0, 9)}, into(1, 9), false}},
      .bad_samples = {{{{f32, {3}}, {f32, {3}}}, into(0, 4), "i32 or i64"},
                      {{{f32, {3}}, {i64, {4}}}, into(0, 4), "an id for each of the 3 rows"},
                      {{{boolean, {3}}, {i64, {3}}}, into(0, 4), "sums need numbers"}},
  };
  return op;
}

Value index_select(const Arg& x, std::int64_t axis, const Arg& ids) {
  return build(index_select_op(), {x, ids}, along(axis));
}

Value index_add(const Arg& x, std::int64_t axis, const Arg& ids, const Arg& source) {
  const Value& to = x.value();
  if (!to.valid()) return to;
  return to + build(index_add_op(), {source, ids}, into(axis, to.dim(normalize_axis(axis, to.rank()))));
}

void register_index() {
  for (const OpDef* op : {&gather_op(), &scatter_add_op(), &index_select_op(), &index_add_op(), &take_op()})
    registry().add(*op);
}

}  // namespace weft
