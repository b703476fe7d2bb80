#include <weft/graph/at_batch.h>
#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/movement.h>
#include <weft/ops/shape/strided.h>
#include <weft/runtime/kernel.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace weft {
namespace {

// One kernel for every dtype.
std::vector<Kernel> every_dtype(BoundKernel (*bind)(const OpView&)) {
  std::vector<Kernel> kernels;
  for (DType dtype : {f32, f64, bf16, f16, i32, i64, boolean}) kernels.push_back({.dtype = dtype, .bind = bind});
  return kernels;
}

BoundKernel gather_by(const Strided& strided, const OpView& view) {
  return [strided, size = size_of(view.out_type(0).dtype)](KernelContext& ctx) {
    strided.gather(ctx.out_bytes(0), ctx.in_bytes(0), size);
  };
}

BoundKernel no_bytes(const OpView&) {
  return [](KernelContext&) {};
}

// --- reshape: y is x in row-major order -------------------------------------------------------------------------

// The target with its -1 filled in; the names that the other extents do not use stay with the open one.
Shape filled(const Shape& from, Shape to) {
  int open = -1;
  std::int64_t known = 1;
  for (int axis = 0; axis < to.rank(); ++axis) {
    if (to.extent(axis) != -1) {
      WEFT_CHECK(to.extent(axis) >= 0, "extents must not be negative, got {}", to.str());
      known *= to.extent(axis);
      continue;
    }
    WEFT_CHECK(open < 0, "only one extent may be -1, got {}", to.str());
    open = axis;
  }
  if (open < 0) return to;
  WEFT_CHECK(known != 0 && from.count() % known == 0, "{} elements of {} do not fill {}", from.count(), from.str(),
             to.str());
  Dim all = 1;
  for (const Dim& dim : from) all = all * dim;
  for (int axis = 0; axis < to.rank(); ++axis)
    if (axis != open) all = all / to[axis];
  to[open] = all.value() == from.count() / known ? all : Dim(from.count() / known);
  return to;
}

std::vector<TensorType> infer_reshape(const OpView& view) {
  const Shape& from = view.shape(0);
  const Shape to = filled(from, view.attributes.shape("shape"));
  WEFT_CHECK(to.count() == from.count(), "{} has {} elements, {} has {}", from.str(), from.count(), to.str(),
             to.count());
  return {{view.type(0).dtype, to}};
}

// The batch index has `inner` elements behind it in row-major order: the output axis that holds that place, whole.
std::vector<BatchState> batch_reshape(const OpView& view, std::span<const BatchState> in) {
  const BatchState& state = in[0];
  if (!state.in_shape()) return {state};
  const Shape& from = view.shape(0);
  const Shape& to = view.out_type(0).shape;
  if (from.count() == 0) {  // no element tells where the batch went, its name may
    const BatchState place = locate_batch(to, Symbol(batch_name));
    const bool found = place.in_shape() && place.outer * place.inner > 0;
    return {found ? BatchState{state.kind, place.axis, place.outer, place.inner} : BatchState::mixed()};
  }
  std::int64_t behind = state.inner;
  for (int axis = state.axis + 1; axis < from.rank(); ++axis) behind *= from.extent(axis);
  const std::int64_t inside = state.outer * state.inner;
  if (inside == 0 || from.extent(state.axis) == 0) return {BatchState::mixed()};
  const std::int64_t n = from.extent(state.axis) / inside;
  // With one example several axes hold that place: the name tells which.
  if (const BatchState named = locate_batch(to, Symbol(batch_name)); named.in_shape()) {
    std::int64_t beyond = named.inner;
    for (int axis = named.axis + 1; axis < to.rank(); ++axis) beyond *= to.extent(axis);
    if (beyond == behind && to.extent(named.axis) == named.outer * n * named.inner)
      return {{state.kind, named.axis, named.outer, named.inner}};
  }
  std::int64_t after = 1;
  for (int axis = to.rank() - 1; axis >= 0; --axis) {
    const std::int64_t extent = to.extent(axis);
    const bool holds =
        after <= behind && after * extent >= behind * n && behind % after == 0 && extent % (behind / after * n) == 0;
    if (holds && (extent > 1 || n == 1)) return {{state.kind, axis, extent / (behind / after * n), behind / after}};
    after *= extent;
  }
  return {BatchState::mixed()};
}

}  // namespace

const OpDef& reshape_op() {
  static const OpDef op{
      .name = "reshape",
      .law = "y has x's elements in row-major order",
      .infer = infer_reshape,
      .batch = batch_reshape,
      .backward = [](Backward& b) { b.input(0, reshape(b.cotangent(0), b.in(0).shape())); },
      .reference = unmoved,
      .traits = {.view = true},
      .kernels = every_dtype(no_bytes),
      .samples = {{{sample::normal({4, 6}).batched(0)}, {{"shape", Shape{Dim::named("batch", 4) * 2, 3}}}},
                  {{sample::normal({4, 6}).batched(0)}, {{"shape", Shape{Dim::named("batch", 4), 2, -1}}}},
                  {{sample::normal({3, 4, 5}).batched(1)}, {{"shape", Shape{3, Dim::named("batch", 4) * 5}}}},
                  {{sample::normal({1})}, {{"shape", Shape{}}}},
                  {{sample::extremes({4, 9})}, {{"shape", Shape{6, 6}}}, false}},
      .bad_samples = {{{{f32, {2, 3}}}, {{"shape", Shape{4}}}, "has 6 elements"},
                      {{{f32, {2, 3}}}, {{"shape", Shape{-1, -1}}}, "only one extent may be -1"},
                      {{{f32, {2, 3}}}, {{"shape", Shape{4, -1}}}, "do not fill"}},
  };
  return op;
}

// -1 is resolved here, once: resolved anew at another batch it would hide a number in which the batch is baked.
Value reshape(const Arg& x, Shape shape) {
  const auto open = std::ranges::count_if(shape, [](const Dim& dim) { return dim.value() == -1; });
  std::int64_t known = 1;
  for (const Dim& dim : shape)
    if (dim.value() != -1) known *= dim.value();
  if (x.value().valid() && open == 1 && known > 0 && x.value().shape().count() % known == 0)
    shape = filled(x.value().shape(), std::move(shape));
  return build(reshape_op(), {x}, {{"shape", std::move(shape)}});
}

// --- transpose: y[.., i_p(k), ..] = x[.., i_k, ..] ----------------------------------------------------------------

namespace {

std::vector<TensorType> infer_transpose(const OpView& view) {
  const auto& order = view.attributes.integers("permutation");
  const Shape& from = view.shape(0);
  std::vector<std::int64_t> sorted = order, axes(static_cast<std::size_t>(from.rank()));
  std::sort(sorted.begin(), sorted.end());
  std::iota(axes.begin(), axes.end(), 0);
  WEFT_CHECK(sorted == axes, "the permutation must name each of the {} axes of {} once, got {}", from.rank(),
             from.str(), str(Attribute(order)));
  Shape to;
  for (std::int64_t axis : order) to.push_back(from[static_cast<int>(axis)]);
  return {{view.type(0).dtype, to}};
}

BoundKernel bind_transpose(const OpView& view) {
  const auto from = strides_of(view.shape(0));
  std::vector<std::int64_t> strides;
  for (std::int64_t axis : view.attributes.integers("permutation"))
    strides.push_back(from[static_cast<std::size_t>(axis)]);
  return gather_by({view.out_type(0).shape.extents(), strides}, view);
}

std::vector<BatchState> batch_transpose(const OpView& view, std::span<const BatchState> in) {
  if (!in[0].in_shape()) return {in[0]};
  const auto& order = view.attributes.integers("permutation");
  const auto at = std::find(order.begin(), order.end(), in[0].axis) - order.begin();
  return {in[0].moved_to(static_cast<int>(at))};
}

}  // namespace

const OpDef& transpose_op() {
  static const OpDef op{
      .name = "transpose",
      .law = "y[i_p0, i_p1, ...] = x[i_0, i_1, ...]",
      .infer = infer_transpose,
      .batch = batch_transpose,
      .backward =
          [](Backward& b) {
            const auto& order = b.attributes().integers("permutation");
            std::vector<std::int64_t> inverse(order.size());
            for (std::size_t k = 0; k < order.size(); ++k)
              inverse[static_cast<std::size_t>(order[k])] = static_cast<std::int64_t>(k);
            b.input(0, transpose(b.cotangent(0), inverse));
          },
      .reference = moved([](const OpView& view, Operands, const Indices& at) -> std::optional<From> {
        const auto& order = view.attributes.integers("permutation");
        From from{0, Indices(at.size())};
        for (std::size_t k = 0; k < at.size(); ++k) from.at[static_cast<std::size_t>(order[k])] = at[k];
        return from;
      }),
      .terms = adds_up(),
      .kernels = every_dtype(bind_transpose),
      .samples = {{{sample::normal({4, 7}).batched(0)}, {{"permutation", std::vector<std::int64_t>{1, 0}}}},
                  {{sample::normal({2, 3, 4, 5}).batched(0)}, {{"permutation", std::vector<std::int64_t>{0, 2, 1, 3}}}},
                  {{sample::normal({2, 1, 4, 3}).batched(2)}, {{"permutation", std::vector<std::int64_t>{3, 1, 2, 0}}}},
                  {{sample::normal({2, 3, 4}).batched(1)}, {{"permutation", std::vector<std::int64_t>{1, 2, 0}}}},
                  {{sample::normal({130, 90})}, {{"permutation", std::vector<std::int64_t>{1, 0}}}, false},
                  {{sample::extremes({3, 5})}, {{"permutation", std::vector<std::int64_t>{1, 0}}}, false}},
      .bad_samples =
          {{{{f32, {2, 3}}}, {{"permutation", std::vector<std::int64_t>{0, 0}}}, "must name each of the 2 axes"},
           {{{f32, {2, 3}}}, {{"permutation", std::vector<std::int64_t>{0}}}, "must name each of the 2 axes"}},
  };
  return op;
}

Value transpose(const Arg& x, const std::vector<std::int64_t>& permutation) {
  std::vector<std::int64_t> order = permutation;
  if (x.value().valid())
    for (std::int64_t& axis : order)
      if (axis < 0) axis += x.value().rank();
  return build(transpose_op(), {x}, {{"permutation", std::move(order)}});
}

Value transpose(const Arg& x, std::int64_t a, std::int64_t b) {
  if (!x.value().valid()) return x.value();
  const int rank = x.value().rank();
  std::vector<std::int64_t> order(static_cast<std::size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  if (a < 0) a += rank;
  if (b < 0) b += rank;
  // An axis that does not exist makes a permutation that the shape rule refuses, with the user's line.
  if (a < 0 || a >= rank || b < 0 || b >= rank)
    return build(transpose_op(), {x}, {{"permutation", std::vector<std::int64_t>{a, b}}});
  std::swap(order[static_cast<std::size_t>(a)], order[static_cast<std::size_t>(b)]);
  return build(transpose_op(), {x}, {{"permutation", std::move(order)}});
}

// --- broadcast_to: copies along axes of extent 1 -------------------------------------------------------------------

namespace {

std::vector<TensorType> infer_broadcast(const OpView& view) {
  const Shape& to = view.attributes.shape("shape");
  WEFT_CHECK(broadcasts_to(view.shape(0), to), "{} does not broadcast to {}", view.shape(0).str(), to.str());
  return {{view.type(0).dtype, to}};
}

BoundKernel bind_broadcast(const OpView& view) {
  const Shape& from = view.shape(0);
  const Shape& to = view.out_type(0).shape;
  std::vector<std::int64_t> strides(static_cast<std::size_t>(to.rank()), 0);
  const auto own = strides_of(from);
  for (int axis = 1; axis <= from.rank(); ++axis)
    if (from.extent(-axis) != 1)
      strides[static_cast<std::size_t>(to.rank() - axis)] = own[static_cast<std::size_t>(from.rank() - axis)];
  return gather_by({to.extents(), strides}, view);
}

std::vector<BatchState> batch_broadcast(const OpView& view, std::span<const BatchState> in) {
  const BatchState made = from_shape(view, in).front();
  if (in[0].in_shape()) return {in[0].moved_to(in[0].axis + view.out_type(0).shape.rank() - view.shape(0).rank())};
  if (in[0].kind == BatchState::Kind::free) return {made};
  // A sum copied to every example is no longer one.
  return {made.in_shape() ? made.as_mixed() : in[0]};
}

}  // namespace

const OpDef& broadcast_to_op() {
  static const OpDef op{
      .name = "broadcast_to",
      .law = "y = x repeated along axes of extent 1 and along new axes in front",
      .infer = infer_broadcast,
      .batch = batch_broadcast,
      .backward = [](Backward& b) { b.input(0, sum_to(b.cotangent(0), b.in(0).shape())); },
      .reference = law_of([](double x) { return x; }),
      .terms = linear_in({0}),
      .kernels = every_dtype(bind_broadcast),
      .samples = {{{sample::normal({4, 1}).batched(0)}, {{"shape", Shape{3, Dim::named("batch", 4), 5}}}},
                  {{sample::normal({5})}, {{"shape", Shape{4, 5}}}},
                  {{sample::normal({})}, {{"shape", Shape{2, 3}}}},
                  {{sample::normal({2, 1, 3})}, {{"shape", Shape{2, 4, 3}}}},
                  {{sample::extremes({18, 1})}, {{"shape", Shape{18, 3}}}, false}},
      .bad_samples = {{{{f32, {2, 3}}}, {{"shape", Shape{3, 3}}}, "does not broadcast to"}},
  };
  return op;
}

Value broadcast_to(const Arg& x, Shape shape) { return build(broadcast_to_op(), {x}, {{"shape", std::move(shape)}}); }

const OpDef& stop_gradient_op() {
  static const OpDef op{
      .name = "stop_gradient",
      .law = "y = x; d_x = 0",
      .infer = same_as_input,
      .batch = linear_same_axis,
      .backward = [](Backward&) {},
      .reference = unmoved,
      .traits = {.view = true, .cuts_gradient = true},
      .kernels = every_dtype(no_bytes),
      .samples = {{{sample::normal({3, 5}).batched(0)}, {}, false}, {{sample::extremes({18})}, {}, false}},
  };
  return op;
}

Value stop_gradient(const Arg& x) { return build(stop_gradient_op(), {x}); }

Value squeeze(const Arg& x, std::int64_t axis) {
  const auto line = called_at({x});
  if (!x.value().valid()) return x.value();
  Shape shape = x.value().shape();
  const int at = normalize_axis(axis, shape.rank());
  WEFT_CHECK(shape.extent(at) == 1, "squeeze needs an axis of extent 1, axis {} of {} has {}", axis, shape.str(),
             shape.extent(at));
  shape.erase(at);
  return reshape(x, shape);
}

Value unsqueeze(const Arg& x, std::int64_t axis) {
  const auto line = called_at({x});
  if (!x.value().valid()) return x.value();
  Shape shape = x.value().shape();
  shape.insert(normalize_axis(axis, shape.rank() + 1), 1);
  return reshape(x, shape);
}

}  // namespace weft
