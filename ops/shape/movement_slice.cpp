// Slices along one axis and their transpose, and putting tensors one after the other.
#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/shape/movement.h>
#include <weft/ops/shape/strided.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/parallel.h>

#include <cstring>

namespace weft {
namespace {

std::vector<Kernel> every_dtype(BoundKernel (*bind)(const OpView&)) {
  std::vector<Kernel> kernels;
  for (DType dtype : {f32, f64, bf16, f16, i32, i64, boolean}) kernels.push_back({.dtype = dtype, .bind = bind});
  return kernels;
}

int axis_of(const OpView& view) { return normalize_axis(view.attributes.integer("axis"), view.shape(0).rank()); }

// Along another axis than the batch's nothing happens to it; along its own the examples are cut apart.
std::vector<BatchState> batch_elsewhere(const OpView& view, std::span<const BatchState> in) {
  if (in[0].in_shape() && in[0].axis == axis_of(view)) return {BatchState::mixed()};
  return {in[0]};
}

// --- slice: y[i] = x[start + i step] -------------------------------------------------------------------------------

struct Range {
  std::int64_t start, step, count;
};

Range range_of(const OpView& view) {
  const int axis = axis_of(view);
  const std::int64_t extent = view.shape(0).extent(axis);
  const std::int64_t step = view.attributes.integer("step");
  WEFT_CHECK(step >= 1, "a slice needs a step of at least 1, got {}", step);
  std::int64_t start = view.attributes.integer("start");
  std::int64_t stop = view.attributes.has("stop") ? view.attributes.integer("stop") : extent;
  if (start < 0) start += extent;
  if (stop < 0) stop += extent;
  WEFT_CHECK(0 <= start && start <= stop && stop <= extent, "the slice [{}, {}) is outside axis {} of {}", start, stop,
             axis, view.shape(0).str());
  return {start, step, start == stop ? 0 : (stop - start - 1) / step + 1};
}

std::vector<TensorType> infer_slice(const OpView& view) {
  const Range range = range_of(view);
  Shape shape = view.shape(0);
  const int axis = axis_of(view);
  if (range.count != shape.extent(axis)) shape[axis] = range.count;
  return {{view.type(0).dtype, shape}};
}

BoundKernel bind_slice(const OpView& view) {
  const Range range = range_of(view);
  auto strides = strides_of(view.shape(0));
  auto& along = strides[static_cast<std::size_t>(axis_of(view))];
  const std::int64_t offset = range.start * along;
  along *= range.step;
  return [strided = Strided(view.out_type(0).shape.extents(), strides, offset), size = size_of(view.out_type(0).dtype)](
             KernelContext& ctx) { strided.gather(ctx.out_bytes(0), ctx.in_bytes(0), size); };
}

}  // namespace

const OpDef& slice_op() {
  static const OpDef op{
      .name = "slice",
      .law = "y[.., i, ..] = x[.., start + i step, ..]",
      .infer = infer_slice,
      .batch = batch_elsewhere,
      .backward =
          [](Backward& b) {  // d_x is d_y at the places it was taken from, zero elsewhere
            const Attributes& a = b.attributes();
            const int axis = normalize_axis(a.integer("axis"), b.in(0).rank());
            const Dim extent = b.in(0).dim(axis);
            std::int64_t start = a.integer("start");
            if (start < 0) start += extent.value();
            b.input(0, slice_scatter(b.cotangent(0), axis, start, a.integer("step"), extent));
          },
      .reference = moved([](const OpView& view, Operands, Indices at) -> std::optional<From> {
        const auto axis = static_cast<std::size_t>(axis_of(view));
        const std::int64_t start = view.attributes.integer("start");
        at[axis] =
            start + at[axis] * view.attributes.integer("step") + (start < 0 ? view.shape(0).extent(axis_of(view)) : 0);
        return From{0, at};
      }),
      .terms = linear_in({0}),
      .kernels = every_dtype(bind_slice),
      .samples = {{{sample::normal({4, 7}).batched(0)},
                   {{"axis", std::int64_t{1}},
                    {"start", std::int64_t{1}},
                    {"stop", std::int64_t{6}},
                    {"step", std::int64_t{2}}}},
                  {{sample::normal({5, 3}).batched(1)},
                   {{"axis", std::int64_t{0}}, {"start", std::int64_t{-3}}, {"step", std::int64_t{1}}}},
                  {{sample::normal({2, 6, 3}).batched(0)},
                   {{"axis", std::int64_t{-1}},
                    {"start", std::int64_t{0}},
                    {"stop", std::int64_t{-1}},
                    {"step", std::int64_t{1}}}},
                  {{sample::extremes({4, 9})},
                   {{"axis", std::int64_t{1}}, {"start", std::int64_t{1}}, {"step", std::int64_t{3}}},
                   false}},
      .bad_samples = {{{{f32, {4}}},
                       {{"axis", std::int64_t{0}},
                        {"start", std::int64_t{2}},
                        {"stop", std::int64_t{9}},
                        {"step", std::int64_t{1}}},
                       "the slice [2, 9) is outside axis 0 of [4]"},
                      {{{f32, {4}}},
                       {{"axis", std::int64_t{0}}, {"start", std::int64_t{0}}, {"step", std::int64_t{0}}},
                       "a step of at least 1"},
                      {{{f32, {4}}},
                       {{"axis", std::int64_t{2}}, {"start", std::int64_t{0}}, {"step", std::int64_t{1}}},
                       "axis 2 is outside"}},
  };
  return op;
}

Value slice(const Arg& x, const SliceOptions& options) {
  Attributes attributes{{"axis", options.axis}, {"start", options.start}, {"step", options.step}};
  if (options.stop) attributes.set("stop", *options.stop);
  return build(slice_op(), {x}, std::move(attributes));
}

// --- slice_scatter: y[start + i step] = x[i], else 0 ---------------------------------------------------------------

namespace {

std::vector<TensorType> infer_scatter(const OpView& view) {
  const int axis = axis_of(view);
  const Dim& extent = view.attributes.shape("extent")[0];
  const std::int64_t start = view.attributes.integer("start"), step = view.attributes.integer("step");
  const std::int64_t count = view.shape(0).extent(axis);
  WEFT_CHECK(step >= 1 && start >= 0 &&
                 (count == 0 || (start < extent.value() && count - 1 <= (extent.value() - 1 - start) / step)),
             "{} places from {} by {} do not fit in {}", count, start, step, extent.str());
  Shape shape = view.shape(0);
  shape[axis] = extent;
  return {{view.type(0).dtype, shape}};
}

BoundKernel bind_scatter(const OpView& view) {
  auto strides = strides_of(view.out_type(0).shape);
  auto& along = strides[static_cast<std::size_t>(axis_of(view))];
  const std::int64_t offset = view.attributes.integer("start") * along;
  along *= view.attributes.integer("step");
  return [strided = Strided(view.shape(0).extents(), strides, offset), bytes = view.out_type(0).bytes(),
          size = size_of(view.out_type(0).dtype)](KernelContext& ctx) {
    std::memset(ctx.out_bytes(0), 0, bytes);
    strided.scatter(ctx.out_bytes(0), ctx.in_bytes(0), size);
  };
}

}  // namespace

const OpDef& slice_scatter_op() {
  static const OpDef op{
      .name = "slice_scatter",
      .law = "y[.., start + i step, ..] = x[.., i, ..], 0 elsewhere",
      .infer = infer_scatter,
      .batch = batch_elsewhere,
      .backward =
          [](Backward& b) {
            const Attributes& a = b.attributes();
            const std::int64_t start = a.integer("start"), step = a.integer("step");
            const std::int64_t count = b.in(0).dim(normalize_axis(a.integer("axis"), b.in(0).rank())).value();
            b.input(0, slice(b.cotangent(0), {.axis = a.integer("axis"),
                                              .start = start,
                                              .stop = count == 0 ? start : start + (count - 1) * step + 1,
                                              .step = step}));
          },
      .reference = moved([](const OpView& view, Operands, Indices at) -> std::optional<From> {
        std::int64_t& here = at[static_cast<std::size_t>(axis_of(view))];
        const std::int64_t behind = here - view.attributes.integer("start"), step = view.attributes.integer("step");
        here = behind / step;
        if (behind < 0 || behind % step != 0 || here >= view.shape(0).extent(axis_of(view))) return {};
        return From{0, at};
      }),
      .terms = adds_up(),
      .kernels = every_dtype(bind_scatter),
      .samples =
          {{{sample::normal({4, 3}).batched(0)},
            {{"axis", std::int64_t{1}}, {"start", std::int64_t{1}}, {"step", std::int64_t{2}}, {"extent", Shape{7}}}},
           {{sample::normal({2, 3, 2}).batched(2)},
            {{"axis", std::int64_t{1}}, {"start", std::int64_t{0}}, {"step", std::int64_t{1}}, {"extent", Shape{4}}}},
           {{sample::extremes({4, 9})},
            {{"axis", std::int64_t{0}}, {"start", std::int64_t{1}}, {"step", std::int64_t{2}}, {"extent", Shape{9}}},
            false}},
      .bad_samples =
          {{{{f32, {4}}},
            {{"axis", std::int64_t{0}}, {"start", std::int64_t{2}}, {"step", std::int64_t{1}}, {"extent", Shape{5}}},
            "do not fit in 5"}},
  };
  return op;
}

Value slice_scatter(const Arg& x, std::int64_t axis, std::int64_t start, std::int64_t step, Dim extent) {
  return build(slice_scatter_op(), {x}, {{"axis", axis}, {"start", start}, {"step", step}, {"extent", Shape{extent}}});
}

// --- concatenate -----------------------------------------------------------------------------------------------------

namespace {

std::vector<TensorType> infer_concatenate(const OpView& view) {
  expect_same_dtype(view);
  const int axis = axis_of(view);
  Shape shape = view.shape(0);
  std::int64_t total = 0;
  for (int i = 0; i < view.inputs(); ++i) {
    Shape other = view.shape(i);
    WEFT_CHECK(other.rank() == shape.rank(), "all must have one rank, got {} and {}", shape.str(), other.str());
    total += other.extent(axis);
    other[axis] = view.shape(0)[axis];
    WEFT_CHECK(other == view.shape(0), "extents beside axis {} must agree, got {} and {}", axis, view.shape(0).str(),
               view.shape(i).str());
  }
  shape[axis] = total;
  return {{view.type(0).dtype, shape}};
}

BoundKernel bind_concatenate(const OpView& view) {
  const int axis = axis_of(view);
  const Shape& to = view.out_type(0).shape;
  std::int64_t outer = 1;
  for (int a = 0; a < axis; ++a) outer *= to.extent(a);
  std::vector<std::size_t> rows;  // bytes of each operand in one row of the output
  std::size_t row = 0;
  for (int i = 0; i < view.inputs(); ++i) {
    rows.push_back(outer == 0 ? 0 : view.type(i).bytes() / static_cast<std::size_t>(outer));
    row += rows.back();
  }
  return [outer, rows, row](KernelContext& ctx) {
    parallel_for(outer, [&](std::int64_t r, int) {
      std::byte* to_row = ctx.out_bytes(0) + static_cast<std::size_t>(r) * row;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        std::memcpy(to_row, ctx.in_bytes(static_cast<int>(i)) + static_cast<std::size_t>(r) * rows[i], rows[i]);
        to_row += rows[i];
      }
    });
  };
}

std::vector<BatchState> batch_concatenate(const OpView& view, std::span<const BatchState> in) {
  std::vector<BatchState> states = linear_same_axis(view, in);
  if (states[0].in_shape() && states[0].axis == axis_of(view)) return {BatchState::mixed()};
  return states;
}

}  // namespace

const OpDef& concatenate_op() {
  static const OpDef op{
      .name = "concatenate",
      .law = "y = x_0, x_1, ... one after the other along an axis",
      .most_inputs = -1,
      .infer = infer_concatenate,
      .batch = batch_concatenate,
      .backward =
          [](Backward& b) {
            const int axis = normalize_axis(b.attributes().integer("axis"), b.in(0).rank());
            std::int64_t start = 0;
            for (int i = 0; i < b.inputs(); ++i) {
              const std::int64_t extent = b.in(i).dim(axis).value();
              if (b.wants(i)) b.input(i, slice(b.cotangent(0), {.axis = axis, .start = start, .stop = start + extent}));
              start += extent;
            }
          },
      .reference = moved([](const OpView& view, Operands, Indices at) -> std::optional<From> {
        std::int64_t& here = at[static_cast<std::size_t>(axis_of(view))];
        int i = 0;
        while (here >= view.shape(i).extent(axis_of(view))) here -= view.shape(i++).extent(axis_of(view));
        return From{static_cast<std::size_t>(i), at};
      }),
      .terms =
          [](const OpView& view) {
            std::vector<Term> terms;
            for (int i = 0; i < view.inputs(); ++i) terms.push_back({.factors = {i}, .adds = i});
            return terms;
          },
      .traits = {.precision = Precision::widest},
      .kernels = every_dtype(bind_concatenate),
      .samples = {{{sample::normal({4, 3}).batched(0), sample::normal({4, 1}).batched(0),
                    sample::normal({4, 5}).batched(0)},
                   {{"axis", std::int64_t{1}}}},
                  {{sample::normal({2, 3}).batched(1), sample::normal({1, 3}).batched(1)},
                   {{"axis", std::int64_t{-2}}}},
                  {{sample::normal({2, 3})}, {{"axis", std::int64_t{0}}}},
                  {{sample::extremes({4, 9}), sample::extremes({4, 2})}, {{"axis", std::int64_t{1}}}, false}},
      .bad_samples = {{{{f32, {2, 3}}, {f32, {2, 4}}}, {{"axis", std::int64_t{0}}}, "extents beside axis 0 must agree"},
                      {{{f32, {2, 3}}, {f64, {2, 3}}}, {{"axis", std::int64_t{0}}}, "operands must have one dtype"},
                      {{{f32, {2, 3}}, {f32, {3}}}, {{"axis", std::int64_t{0}}}, "one rank"}},
  };
  return op;
}

Value concatenate(const std::vector<Value>& values, std::int64_t axis, std::source_location where) {
  WEFT_CHECK(!values.empty(), "concatenate ({}) needs at least one tensor, got none", str(where));
  return values.front()
      .graph()
      .apply(concatenate_op(), {values.begin(), values.end()}, {{"axis", axis}}, where)
      .front();
}

Value stack(const std::vector<Value>& values, std::int64_t axis, std::source_location where) {
  WEFT_CHECK(!values.empty(), "stack ({}) needs at least one tensor, got none", str(where));
  std::vector<Value> expanded;
  for (const Value& value : values) expanded.push_back(unsqueeze(Arg(value, where), axis));
  return concatenate(expanded, axis, where);
}

void register_movement() {
  for (const OpDef* op : {&reshape_op(), &transpose_op(), &broadcast_to_op(), &slice_op(), &slice_scatter_op(),
                          &concatenate_op(), &stop_gradient_op()})
    registry().add(*op);
}

}  // namespace weft
