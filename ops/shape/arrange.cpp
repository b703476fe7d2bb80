#include <weft/ops/shape/arrange.h>

#include <weft/graph/registry.h>
#include <weft/ops/index/index.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>
#include <weft/ops/shape/strided.h>

#include <algorithm>
#include <set>

namespace weft {
namespace {

std::vector<Kernel> every_dtype(BoundKernel (*bind)(const OpView&)) {
  std::vector<Kernel> kernels;
  for (DType dtype : {f32, f64, bf16, f16, i32, i64, boolean}) kernels.push_back({.dtype = dtype, .bind = bind});
  return kernels;
}

// --- pad: y[before + i] = x[i], `value` elsewhere -------------------------------------------------------------------

std::vector<TensorType> infer_pad(const OpView& view) {
  const auto &before = view.attributes.integers("before"), &after = view.attributes.integers("after");
  Shape shape = view.shape(0);
  const auto rank = static_cast<std::size_t>(shape.rank());
  WEFT_CHECK(before.size() == rank && after.size() == rank, "expected a padding for each of the {} axes of {}, got {}",
             rank, shape.str(), before.size());
  for (std::size_t a = 0; a < rank; ++a) {
    WEFT_CHECK(before[a] >= 0 && after[a] >= 0, "padding must not be negative, got {} and {}; hint: slice()", before[a],
               after[a]);
    const int axis = static_cast<int>(a);
    if (before[a] + after[a] > 0) shape[axis] = shape.extent(axis) + before[a] + after[a];
  }
  const double value = view.attributes.number("value");
  WEFT_CHECK(is_float(view.type(0).dtype) || value == static_cast<double>(static_cast<std::int64_t>(value)),
             "{} cannot hold {}", name_of(view.type(0).dtype), value);
  return {{view.type(0).dtype, shape}};
}

std::vector<BatchState> batch_pad(const OpView& view, std::span<const BatchState> in) {
  const BatchState& x = in[0];
  if (x.in_shape()) {
    const auto a = static_cast<std::size_t>(x.axis);
    if (view.attributes.integers("before")[a] + view.attributes.integers("after")[a] > 0) return {BatchState::mixed()};
  }
  return {x.kind == BatchState::Kind::summed && view.attributes.number("value") != 0 ? x.as_mixed() : x};
}

BoundKernel bind_pad(const OpView& view) {
  const auto strides = strides_of(view.out_type(0).shape);
  std::int64_t offset = 0;
  for (std::size_t a = 0; a < strides.size(); ++a) offset += view.attributes.integers("before")[a] * strides[a];
  return [strided = Strided(view.shape(0).extents(), strides, offset), count = view.out_type(0).count(),
          value = view.attributes.number("value"), dtype = view.type(0).dtype](KernelContext& ctx) {
    visit_dtype(dtype, [&]<class T>(T) {
      T filled;
      if constexpr (is_narrow<T>) filled = T(static_cast<float>(value));
      else filled = static_cast<T>(value);
      std::fill_n(ctx.out<T>(0), count, filled);
    });
    strided.scatter(ctx.out_bytes(0), ctx.in_bytes(0), size_of(dtype));
  };
}

// The zeros by slice_scatter, and `value` where a 1 padded in the same way is 0.
Values pad_plain(const Plain& p) {
  const auto& before = p.attributes.integers("before");
  Value y = p.in[0], inside = ones_like(p.in[0]);
  for (int axis = 0; axis < y.rank(); ++axis) {
    const std::int64_t start = before[static_cast<std::size_t>(axis)];
    y = slice_scatter(y, axis, start, 1, p.out[0].shape[axis]);
    inside = slice_scatter(inside, axis, start, 1, p.out[0].shape[axis]);
  }
  return where(equal(inside, 1.0), y, full(y.graph(), y.shape(), y.dtype(), p.attributes.number("value")));
}

void pad_backward(Backward& b) {  // d_x is d_y without the padding
  Value d = b.cotangent(0);
  for (int axis = 0; axis < d.rank(); ++axis) {
    const std::int64_t start = b.attributes().integers("before")[static_cast<std::size_t>(axis)];
    if (d.shape().extent(axis) != b.in(0).shape().extent(axis))
      d = slice(d, {.axis = axis, .start = start, .stop = start + b.in(0).shape().extent(axis)});
  }
  b.input(0, d);
}

Attributes padded(std::vector<std::int64_t> before, std::vector<std::int64_t> after, double value) {
  return {{"before", std::move(before)}, {"after", std::move(after)}, {"value", value}};
}

// --- flip: y[.., i, ..] = x[.., n - 1 - i, ..] ----------------------------------------------------------------------

std::vector<int> axes_of(const OpView& view) {
  std::set<int> axes;
  for (const std::int64_t axis : view.attributes.integers("axes"))
    WEFT_CHECK(axes.insert(normalize_axis(axis, view.shape(0).rank())).second, "axis {} is named twice", axis);
  return {axes.begin(), axes.end()};
}

std::vector<TensorType> infer_flip(const OpView& view) {
  axes_of(view);
  return {view.type(0)};
}

std::vector<BatchState> batch_flip(const OpView& view, std::span<const BatchState> in) {
  const std::vector<int> axes = axes_of(view);
  return {std::ranges::find(axes, in[0].axis) == axes.end() ? in[0] : in[0].as_mixed()};
}

BoundKernel bind_flip(const OpView& view) {
  auto strides = strides_of(view.shape(0));
  std::int64_t offset = 0;
  for (const int axis : axes_of(view)) {
    auto& stride = strides[static_cast<std::size_t>(axis)];
    offset += (view.shape(0).extent(axis) - 1) * stride;
    stride = -stride;
  }
  return [strided = Strided(view.shape(0).extents(), strides, offset), size = size_of(view.type(0).dtype)](
             KernelContext& ctx) { strided.gather(ctx.out_bytes(0), ctx.in_bytes(0), size); };
}

Values flip_plain(const Plain& p) {
  Value y = p.in[0];
  for (const std::int64_t axis : p.attributes.integers("axes")) {
    const Dim& extent = y.dim(normalize_axis(axis, y.rank()));
    y = index_select(y, axis, static_cast<double>(extent.value() - 1) - iota(y.graph(), extent));
  }
  return y;
}

// --- tril, triu -----------------------------------------------------------------------------------------------------

std::vector<TensorType> infer_triangle(const OpView& view) {
  WEFT_CHECK(view.shape(0).rank() >= 2, "expected at least two axes, got {}", view.shape(0).str());
  return {view.type(0)};
}

std::vector<BatchState> batch_triangle(const OpView& view, std::span<const BatchState> in) {
  return {in[0].axis < view.shape(0).rank() - 2 ? in[0] : in[0].as_mixed()};
}

template <class T, bool lower>
void triangle_kernel(KernelContext& context) {
  const Shape& shape = context.type(0).shape;
  const std::int64_t rows = shape.extent(-2), n = shape.extent(-1), diagonal = context.attributes().integer("diagonal");
  for_row_tiles(shape.count() / std::max<std::int64_t>(1, n), n, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      const T* x = context.in<T>(0) + r * n;
      T* y = context.out<T>(0) + r * n;
      const std::int64_t cut = std::clamp<std::int64_t>(r % rows + diagonal + (lower ? 1 : 0), 0, n);
      if (y != x) std::copy_n(x, n, y);
      lower ? std::fill(y + cut, y + n, T{}) : std::fill(y, y + cut, T{});
    }
  });
}

template <bool lower>
std::vector<Kernel> triangle_kernels() {
  return {{.dtype = f32, .run = triangle_kernel<float, lower>},
          {.dtype = f64, .run = triangle_kernel<double, lower>},
          {.dtype = bf16, .run = triangle_kernel<bfloat16, lower>},
          {.dtype = f16, .run = triangle_kernel<float16, lower>},
          {.dtype = i32, .run = triangle_kernel<std::int32_t, lower>},
          {.dtype = i64, .run = triangle_kernel<std::int64_t, lower>},
          {.dtype = boolean, .run = triangle_kernel<bool, lower>}};
}

template <bool lower>
Values triangle_plain(const Plain& p) {
  const Value &x = p.in[0], j = iota(x.graph(), x.dim(-1)), i = reshape(iota(x.graph(), x.dim(-2)), {x.dim(-2), 1});
  const auto diagonal = static_cast<double>(p.attributes.integer("diagonal"));
  return where(lower ? less_equal(j - i, diagonal) : greater_equal(j - i, diagonal), x, zeros_like(x));
}

Attributes at(std::int64_t diagonal) { return {{"diagonal", diagonal}}; }

OpDef triangle(std::string name, std::string law, PlainRule plain, std::vector<Kernel> kernels) {
  return {.name = std::move(name),
          .law = std::move(law),
          .infer = infer_triangle,
          .batch = batch_triangle,
          .plain = std::move(plain),
          .terms = linear_in({0}),
          .traits = {.in_place = {{0, 0}}},
          .kernels = std::move(kernels),
          .samples = {{{sample::normal({4, 5}).batched(0)}, at(0)},
                      {{sample::normal({2, 3, 5}).batched(0)}, at(1)},
                      {{sample::normal({5, 3})}, at(-2)},
                      {{sample::normal({1, 1})}, at(0)},
                      {{sample::extremes({5, 9})}, at(0), false},
                      {{sample::integers({3, 3}, -5, 5)}, at(-1)},
                      {{sample::normal({140, 130})}, at(-7), false}},
          .bad_samples = {{{{f32, {3}}}, at(0), "at least two axes"}}};
}

}  // namespace

const OpDef& pad_op() {
  static const OpDef op{
      .name = "pad",
      .law = "y[before + i] = x[i], value elsewhere",
      .infer = infer_pad,
      .batch = batch_pad,
      .backward = pad_backward,
      .plain = pad_plain,
      .terms =
          [](const OpView& view) {
            std::vector<Term> terms{{.factors = {0}, .adds = 0}};
            if (view.attributes.number("value") != 0) terms.emplace_back();  // a constant
            return terms;
          },
      .kernels = every_dtype(bind_pad),
      .samples = {{{sample::normal({3, 5}).batched(0)}, padded({0, 1}, {0, 2}, 0)},
                  {{sample::normal({2, 3, 4}).batched(2)}, padded({2, 0, 0}, {0, 1, 0}, -1.5)},
                  {{sample::normal({3, 2}).batched(0)}, padded({1, 0}, {0, 0}, 0.5)},
                  {{sample::normal({1})}, padded({0}, {0}, 1)},
                  {{sample::integers({3, 4}, -5, 5)}, padded({1, 0}, {1, 3}, 7)},
                  {{sample::extremes({4, 9})}, padded({1, 1}, {1, 1}, 0), false}},
      .bad_samples = {{{{f32, {3}}}, padded({0, 1}, {0, 1}, 0), "a padding for each of the 1 axes"},
                      {{{f32, {3}}}, padded({-1}, {0}, 0), "must not be negative"},
                      {{{i64, {3}}}, padded({1}, {0}, 0.5), "cannot hold 0.5"}},
  };
  return op;
}

const OpDef& flip_op() {
  const auto axes = [](std::vector<std::int64_t> list) { return Attributes{{"axes", std::move(list)}}; };
  static const OpDef op{
      .name = "flip",
      .law = "y[.., i, ..] = x[.., n - 1 - i, ..] along each of `axes`",
      .infer = infer_flip,
      .batch = batch_flip,
      .backward = [](Backward& b) { b.input(0, flip(b.cotangent(0), b.attributes().integers("axes"))); },
      .plain = flip_plain,
      .reference = moved([](const OpView& view, Operands, Indices at) -> std::optional<From> {
        for (const std::int64_t named : view.attributes.integers("axes")) {
          const int axis = normalize_axis(named, view.shape(0).rank());
          std::int64_t& here = at[static_cast<std::size_t>(axis)];
          here = view.shape(0).extent(axis) - 1 - here;
        }
        return From{0, at};
      }),
      .terms = adds_up(),
      .kernels = every_dtype(bind_flip),
      .samples = {{{sample::normal({3, 5}).batched(0)}, axes({1})},
                  {{sample::normal({2, 3, 4}).batched(1)}, axes({0, -1})},
                  {{sample::normal({4, 3}).batched(0)}, axes({0})},
                  {{sample::normal({1})}, axes({0})},
                  {{sample::normal({130, 90})}, axes({1}), false},
                  {{sample::extremes({4, 9})}, axes({0, 1}), false}},
      .bad_samples = {{{{f32, {3}}}, axes({1}), "axis 1 is outside"}, {{{f32, {3}}}, axes({0, -1}), "named twice"}},
  };
  return op;
}

const OpDef& tril_op() {
  static const OpDef op = triangle("tril", "y[.., i, j] = x[.., i, j] where j - i <= diagonal, else 0",
                                   triangle_plain<true>, triangle_kernels<true>());
  return op;
}
const OpDef& triu_op() {
  static const OpDef op = triangle("triu", "y[.., i, j] = x[.., i, j] where j - i >= diagonal, else 0",
                                   triangle_plain<false>, triangle_kernels<false>());
  return op;
}

Value pad(const Arg& x, const std::vector<Padding>& padding, double value) {
  std::vector<std::int64_t> before, after;
  for (const Padding& p : padding) {
    before.push_back(p.before);
    after.push_back(p.after);
  }
  return build(pad_op(), {x}, padded(std::move(before), std::move(after), value));
}

Value flip(const Arg& x, const std::vector<std::int64_t>& axes) { return build(flip_op(), {x}, {{"axes", axes}}); }
Value tril(const Arg& x, std::int64_t diagonal) { return build(tril_op(), {x}, at(diagonal)); }
Value triu(const Arg& x, std::int64_t diagonal) { return build(triu_op(), {x}, at(diagonal)); }

Value roll(const Arg& x, std::int64_t shift, std::int64_t axis) {
  const auto line = called_at({x});
  if (!x.value().valid()) return x.value();
  const std::int64_t n = x.value().shape().extent(normalize_axis(axis, x.value().rank()));
  if (n == 0 || shift % n == 0) return x.value();
  const std::int64_t cut = n - (shift % n + n) % n;
  return concatenate({slice(x, {.axis = axis, .start = cut}), slice(x, {.axis = axis, .start = 0, .stop = cut})}, axis,
                     x.where());
}

std::vector<Value> split(const Arg& x, const std::vector<std::int64_t>& sizes, std::int64_t axis) {
  const auto line = called_at({x});
  if (!x.value().valid()) return std::vector<Value>(sizes.size(), x.value());
  const std::int64_t n = x.value().shape().extent(normalize_axis(axis, x.value().rank()));
  std::int64_t total = 0;
  for (const std::int64_t size : sizes) total += size;
  WEFT_CHECK(total == n && std::ranges::all_of(sizes, [](std::int64_t size) { return size >= 0; }),
             "split ({}): the sizes must add up to {}, the extent of axis {} of {}; they add up to {}", str(x.where()),
             n, axis, x.value().shape().str(), total);
  std::vector<Value> pieces;
  std::int64_t start = 0;
  for (const std::int64_t size : sizes) {
    pieces.push_back(slice(x, {.axis = axis, .start = start, .stop = start + size}));
    start += size;
  }
  return pieces;
}

std::vector<Value> split(const Arg& x, std::int64_t count, std::int64_t axis) {
  const auto line = called_at({x});
  WEFT_CHECK(count > 0, "split ({}): expected at least one piece, got {}", str(x.where()), count);
  if (!x.value().valid()) return std::vector<Value>(static_cast<std::size_t>(count), x.value());
  const std::int64_t n = x.value().shape().extent(normalize_axis(axis, x.value().rank()));
  WEFT_CHECK(n % count == 0, "split ({}): axis {} of {} cannot be cut into {} equal pieces; hint: give the sizes",
             str(x.where()), axis, x.value().shape().str(), count);
  return split(x, std::vector<std::int64_t>(static_cast<std::size_t>(count), n / count), axis);
}

Value repeat(const Arg& x, const std::vector<std::int64_t>& times) {
  const auto line = called_at({x});
  if (!x.value().valid()) return x.value();
  const Shape& from = x.value().shape();
  WEFT_CHECK(static_cast<int>(times.size()) == from.rank() && std::ranges::all_of(times, [](auto t) { return t >= 0; }),
             "repeat ({}): expected a number for each of the {} axes of {}, got {}", str(x.where()), from.rank(),
             from.str(), str(Attribute(times)));
  Shape apart, spread, merged;  // [1, n], [t, n], [t n] for each axis
  for (int axis = 0; axis < from.rank(); ++axis) {
    const std::int64_t t = times[static_cast<std::size_t>(axis)];
    apart.push_back(1), apart.push_back(from[axis]);
    spread.push_back(t), spread.push_back(from[axis]);
    merged.push_back(t == 1 ? from[axis] : Dim(t) * from[axis]);
  }
  return reshape(broadcast_to(reshape(x, apart), spread), merged);
}

Value repeat_interleave(const Arg& x, std::int64_t times, std::int64_t axis) {
  const auto line = called_at({x});
  if (!x.value().valid()) return x.value();
  WEFT_CHECK(times >= 0, "repeat_interleave ({}): times must not be negative, got {}", str(x.where()), times);
  const int at = normalize_axis(axis, x.value().rank());
  Shape spread = x.value().shape(), merged = spread;
  spread.insert(at + 1, times);
  merged[at] = merged[at] * Dim(times);
  return reshape(broadcast_to(unsqueeze(x, at + 1), spread), merged);
}

void register_arrange() {
  for (const OpDef* op : {&pad_op(), &flip_op(), &tril_op(), &triu_op()}) registry().add(*op);
}

}  // namespace weft
