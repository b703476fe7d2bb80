#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/reduce/reduce_kernel.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>

namespace weft {
namespace {

Shape reduced_shape(const OpView& view, bool keep) {
  const std::vector<int> axes = reduced_axes(view);
  Shape shape;
  for (int axis = 0; axis < view.shape(0).rank(); ++axis) {
    const bool reduced = std::find(axes.begin(), axes.end(), axis) != axes.end();
    if (!reduced) shape.push_back(view.shape(0)[axis]);
    else if (keep) shape.push_back(1);
  }
  return shape;
}

std::vector<TensorType> infer(const OpView& view) {
  WEFT_CHECK(view.type(0).dtype != boolean, "sums need numbers, got {}; hint: cast(x, i64)", view.type(0).str());
  return {{view.type(0).dtype, reduced_shape(view, view.attributes.flag("keep"))}};
}

std::vector<TensorType> infer_float(const OpView& view) {
  expect_float(view, 0);
  return infer(view);
}

// There is no largest element of nothing.
std::vector<TensorType> infer_extreme(const OpView& view) {
  std::vector<TensorType> types = infer(view);
  for (int axis : reduced_axes(view))
    WEFT_CHECK(view.shape(0).extent(axis) > 0, "axis {} of {} has no elements", axis, view.shape(0).str());
  return types;
}

std::vector<TensorType> infer_bool(const OpView& view) {
  expect_dtype(view, 0, boolean);
  return {{boolean, reduced_shape(view, view.attributes.flag("keep"))}};
}

// What becomes of the batch when its axis is reduced is `reduced`; else it moves with its axis.
BatchState batch_reduced(const OpView& view, const BatchState& in, const BatchState& reduced) {
  if (!in.in_shape()) return in;
  const std::vector<int> axes = reduced_axes(view);
  if (std::find(axes.begin(), axes.end(), in.axis) != axes.end())
    return in.kind == BatchState::Kind::split ? reduced : BatchState::mixed();
  if (view.attributes.flag("keep")) return in;
  const auto before = std::count_if(axes.begin(), axes.end(), [&](int axis) { return axis < in.axis; });
  return in.moved_to(in.axis - static_cast<int>(before));
}

std::vector<BatchState> batch_sum(const OpView& view, std::span<const BatchState> in) {
  return {batch_reduced(view, in[0], BatchState::summed())};
}
// A mean or a largest element over the batch is no sum; a mean of sums over other axes is.
std::vector<BatchState> batch_mixing(const OpView& view, std::span<const BatchState> in) {
  return {batch_reduced(view, in[0], BatchState::mixed())};
}
std::vector<BatchState> batch_extreme(const OpView& view, std::span<const BatchState> in) {
  if (in[0].kind == BatchState::Kind::summed) return {BatchState::mixed()};
  return batch_mixing(view, in);
}

// The cotangent with the reduced axes back in, extent 1: it broadcasts over what was reduced.
Value expanded(const Value& cotangent, const Value& x, const Attributes& attributes) {
  if (attributes.flag("keep")) return cotangent;
  std::vector<bool> reduced(static_cast<std::size_t>(x.rank()), attributes.integers("axes").empty());
  for (std::int64_t axis : attributes.integers("axes"))
    reduced[static_cast<std::size_t>(normalize_axis(axis, x.rank()))] = true;
  Shape shape = x.shape();
  for (int axis = 0; axis < x.rank(); ++axis)
    if (reduced[static_cast<std::size_t>(axis)]) shape[axis] = 1;
  return reshape(cotangent, shape);
}

void backward_sum(Backward& b) {  // d_x = d_y, copied
  b.input(0, broadcast_to(expanded(b.cotangent(0), b.in(0), b.attributes()), b.in(0).shape()));
}

// The cotangent, spread over as many elements as `counted` (0 or 1 each) says. The number is counted and divides in the
// wide type: f16 ends at 65504, bf16 counts to 256.
Value share(Backward& b, const Value& counted) {
  const DType dtype = b.in(0).dtype();
  const Value number = sum(cast(counted, wide(dtype)), {b.attributes().integers("axes"), true});
  return cast(cast(expanded(b.cotangent(0), b.in(0), b.attributes()), wide(dtype)) / number, dtype);
}

void backward_mean(Backward& b) {  // d_x = d_y / n, copied
  b.input(0, broadcast_to(share(b, ones_like(b.in(0))), b.in(0).shape()));
}

void backward_extreme(Backward& b) {  // d_x = d_y / (number of equal ones) where x = y
  const Value y = expanded(b.out(0), b.in(0), b.attributes());
  const Value hit = cast(equal(b.in(0), y), b.in(0).dtype());
  b.input(0, hit * share(b, hit));
}

constexpr Extended infinity = std::numeric_limits<Extended>::infinity();
constexpr Fold added{.start = 0, .combine = [](Extended a, Extended b) { return a + b; }};

Attributes over(std::vector<std::int64_t> axes, bool keep = false) {
  return {{"axes", std::move(axes)}, {"keep", keep}};
}

Value reduce(const OpDef& op, const Arg& x, const ReduceOptions& options) {
  return build(op, {x}, over(options.axes, options.keep));
}

std::vector<Sample> samples() {
  return {{{sample::normal({3, 5}).batched(0)}, over({})},
          {{sample::normal({3, 5}).batched(0)}, over({1})},
          {{sample::normal({3, 5}).batched(1)}, over({0}, true)},
          {{sample::normal({2, 3, 4}).batched(1)}, over({0, 2})},
          {{sample::normal({2, 3, 4}).batched(0)}, over({-2}, true)},
          {{sample::normal({1, 4, 1})}, over({0, 2})},
          {{sample::normal({})}, over({})},
          {{sample::normal({70, 33})}, over({0}), false},
          {{sample::normal({3, 40000})}, over({1}), false},
          {{sample::normal({100000})}, over({}), false},
          {{sample::extremes({4, 9})}, over({1}), false}};
}

std::vector<BadSample> bad_samples() {
  return {{{{f32, {2, 3}}}, over({2}), "axis 2 is outside a tensor of rank 2"},
          {{{f32, {2, 3}}}, over({1, -1}), "an axis is named twice"},
          {{{boolean, {2}}}, over({}), "got bool[2]"}};
}

OpDef reduction(std::string name, std::string law, InferRule rule, BatchRule batch, BackwardRule backward,
                Fold reference, TermRule terms, std::vector<Kernel> kernels) {
  return {
      .name = std::move(name),
      .law = std::move(law),
      .infer = std::move(rule),
      .batch = std::move(batch),
      .backward = std::move(backward),
      .reference = folded(reference),
      .terms = std::move(terms),
      .traits = {.precision = Precision::f32},
      .row_wise = [](const OpView& view) { return reduced_axes(view) == std::vector<int>{view.shape(0).rank() - 1}; },
      .kernels = std::move(kernels),
      .samples = samples(),
      .bad_samples = bad_samples()};
}

}  // namespace

const OpDef& sum_op() {
  static const OpDef op =
      reduction("sum", "y = sum of x over axes", infer, batch_sum, backward_sum, added, adds_up(),
                reduction_kernels<SumOf, float, double, bfloat16, float16, std::int32_t, std::int64_t>());
  return op;
}

const OpDef& mean_op() {
  static const OpDef op =
      reduction("mean", "y = sum of x over axes / number of elements", infer_float, batch_mixing, backward_mean,
                {.start = 0, .combine = added.combine, .finish = [](Extended total, Extended n) { return total / n; }},
                linear_in({0}), reduction_kernels<MeanOf, float, double, bfloat16, float16>());
  return op;
}

namespace {

// The mean of the elements that are equal to the extreme one, which the opposite op finds: each gets its share.
Values extreme_plain(const Plain& p, Value (*opposite)(const Arg&, const ReduceOptions&)) {
  const Value& x = p.in[0];
  const auto& axes = p.attributes.integers("axes");
  const bool keep = p.attributes.flag("keep");
  if (!is_float(x.dtype())) return -opposite(-x, {axes, keep});
  const Value hit = equal(x, stop_gradient(-opposite(-x, {axes, true})));
  const DType dtype = x.dtype();
  const Value total = sum(cast(where(hit, x, 0.0), wide(dtype)), {axes, keep});
  return cast(total / sum(cast(hit, wide(dtype)), {axes, keep}), dtype);
}

OpDef extreme(std::string name, std::string law, PlainRule plain, Fold reference, std::vector<Kernel> kernels) {
  OpDef op = reduction(std::move(name), std::move(law), infer_extreme, batch_extreme, backward_extreme, reference, {},
                       std::move(kernels));
  op.traits.precision = Precision::follow;
  op.plain = std::move(plain);
  op.samples.push_back({{sample::ties({9, 4}).batched(0)}, over({1}), false});
  op.samples.push_back({{sample::ties({3, 4, 5}).batched(1)}, over({0, 2}, true), false});
  return op;
}

}  // namespace

const OpDef& max_op() {
  static const OpDef op = extreme(
      "max", "y = largest element of x over axes", [](const Plain& p) { return extreme_plain(p, min); },
      {.start = -infinity, .combine = [](Extended a, Extended b) { return a != a || a > b ? a : b; }},
      reduction_kernels<MaxOf, float, double, bfloat16, float16, std::int32_t, std::int64_t>());
  return op;
}

const OpDef& min_op() {
  static const OpDef op = extreme(
      "min", "y = smallest element of x over axes", [](const Plain& p) { return extreme_plain(p, max); },
      {.start = infinity, .combine = [](Extended a, Extended b) { return a != a || a < b ? a : b; }},
      reduction_kernels<MinOf, float, double, bfloat16, float16, std::int32_t, std::int64_t>());
  return op;
}

namespace {

OpDef of_bools(std::string name, std::string law, Fold reference, std::vector<Kernel> kernels) {
  return {.name = std::move(name),
          .law = std::move(law),
          .infer = infer_bool,
          .batch = batch_extreme,
          .backward = [](Backward&) {},
          .reference = folded(reference),
          .kernels = std::move(kernels),
          .samples = {{{sample::booleans({3, 5}).batched(0)}, over({1})}, {{sample::booleans({3, 5})}, over({})}},
          .bad_samples = {{{{f32, {2}}}, over({}), "must be bool"}}};
}

// Of equal elements the first; a NaN is larger than all.
template <class T>
void argmax_kernel(KernelContext& ctx) {
  const T* x = ctx.in<T>(0);
  auto* y = ctx.out<std::int64_t>(0);
  const Shape& shape = ctx.type(0).shape;
  const int axis = normalize_axis(ctx.attributes().integers("axes").front(), shape.rank());
  std::int64_t inner = 1;
  for (int a = axis + 1; a < shape.rank(); ++a) inner *= shape.extent(a);
  const std::int64_t n = shape.extent(axis), outputs = ctx.out_type(0).count();
  parallel_for((outputs + 255) / 256, [&](std::int64_t tile, int) {
    for (std::int64_t i = tile * 256; i < std::min(outputs, (tile + 1) * 256); ++i) {
      const T* from = x + i / inner * n * inner + i % inner;
      std::int64_t best = 0;
      auto largest = Reducer<T>::map(from[0]);
      for (std::int64_t k = 1; k < n; ++k) {
        const auto value = Reducer<T>::map(from[k * inner]);
        if (value > largest || (value != value && largest == largest)) {
          largest = value;
          best = k;
        }
      }
      y[i] = best;
    }
  });
}

template <class... T>
std::vector<Kernel> argmax_kernels() {
  return {Kernel{.dtype = dtype_of<T>, .run = argmax_kernel<T>}...};
}

std::vector<TensorType> infer_argmax(const OpView& view) {
  WEFT_CHECK(view.attributes.integers("axes").size() == 1, "argmax is along one axis");
  return {{i64, infer_extreme(view).front().shape}};
}

// By looking at every element before.
std::vector<double> argmax_reference(const OpView& view, std::span<const std::vector<double>> in) {
  const int axis = normalize_axis(view.attributes.integers("axes").front(), view.shape(0).rank());
  const auto beats = [](double a, double b) { return a > b || (a != a && b == b); };
  std::vector<double> y;
  each_element(view.shape(0), [&](std::int64_t, Indices at) {
    if (at[static_cast<std::size_t>(axis)] != 0) return;
    std::int64_t best = 0;
    const auto element = [&](std::int64_t k) {
      at[static_cast<std::size_t>(axis)] = k;
      return weft::element(in[0], view.shape(0), at);
    };
    for (std::int64_t k = 1; k < view.shape(0).extent(axis); ++k)
      if (beats(element(k), element(best))) best = k;
    y.push_back(static_cast<double>(best));
  });
  return y;
}

}  // namespace

const OpDef& all_op() {
  static const OpDef op = of_bools("all", "y = whether all of x are true",
                                   {.start = 1, .combine = [](Extended a, Extended b) { return std::min(a, b); }},
                                   reduction_kernels<AllOf, bool>());
  return op;
}

const OpDef& any_op() {
  static const OpDef op = of_bools("any", "y = whether any of x is true",
                                   {.start = 0, .combine = [](Extended a, Extended b) { return std::max(a, b); }},
                                   reduction_kernels<AnyOf, bool>());
  return op;
}

const OpDef& argmax_op() {
  static const OpDef op{
      .name = "argmax",
      .law = "y = position of the largest element along an axis",
      .infer = infer_argmax,
      .batch = batch_extreme,
      .backward = [](Backward&) {},
      .reference = argmax_reference,
      .kernels = argmax_kernels<float, double, bfloat16, float16, std::int32_t, std::int64_t>(),
      .samples = {{{sample::normal({3, 5}).batched(0)}, over({1})},
                  {{sample::normal({4, 3, 2}).batched(2)}, over({-2}, true)},
                  {{sample::integers({4, 9}, 0, 3)}, over({1})},
                  {{sample::extremes({18, 2})}, over({1}), false},
                  {{sample::extremes({4, 9})}, over({1}), false}},
      .bad_samples = {{{{f32, {2, 3}}}, over({}), "along one axis"}, {{{f32, {2, 3}}}, over({2}), "axis 2 is outside"}},
  };
  return op;
}

Value sum(const Arg& x, const ReduceOptions& options) { return reduce(sum_op(), x, options); }
Value mean(const Arg& x, const ReduceOptions& options) { return reduce(mean_op(), x, options); }
Value max(const Arg& x, const ReduceOptions& options) { return reduce(max_op(), x, options); }
Value min(const Arg& x, const ReduceOptions& options) { return reduce(min_op(), x, options); }
Value all(const Arg& x, const ReduceOptions& options) { return reduce(all_op(), x, options); }
Value any(const Arg& x, const ReduceOptions& options) { return reduce(any_op(), x, options); }
Value argmax(const Arg& x, std::int64_t axis, bool keep) { return build(argmax_op(), {x}, over({axis}, keep)); }

Value sum_to(const Arg& x, const Shape& shape) {
  const auto line = called_at({x});
  if (!x.value().valid() || x.value().shape() == shape) return x.value();
  const Shape& from = x.value().shape();
  WEFT_CHECK(broadcasts_to(shape, from), "{} does not broadcast to {}, so it cannot be summed to it", shape.str(),
             from.str());
  std::vector<std::int64_t> axes;
  const int front = from.rank() - shape.rank();
  for (int axis = 0; axis < from.rank(); ++axis)
    if (axis < front || (shape.extent(axis - front) == 1 && from.extent(axis) != 1)) axes.push_back(axis);
  if (axes.empty()) return reshape(x, shape);
  return reshape(sum(x, {axes, false}), shape);
}

void register_reduce() {
  for (const OpDef* op : {&sum_op(), &mean_op(), &max_op(), &min_op(), &all_op(), &any_op(), &argmax_op(),
                          &sum_squares_op(), &sum_powers_op()})
    registry().add(*op);
}

}  // namespace weft
