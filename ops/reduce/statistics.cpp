#include <weft/ops/reduce/statistics.h>

#include <weft/graph/registry.h>
#include <weft/ops/index/one_hot.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/norm/softmax.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <cmath>

namespace weft {
namespace {

// --- prod over rows: y = x_0 x_1 ... x_{n - 1}; d_x_i = d_y prod_{j != i} x_j ---

std::vector<TensorType> infer_prod(const OpView& view) {
  WEFT_CHECK(view.shape(0).rank() >= 1 && view.type(0).dtype != boolean, "a product needs rows of numbers, got {}",
             view.type(0).str());
  Shape shape = view.shape(0);
  shape.erase(shape.rank() - 1);
  return {{view.type(0).dtype, shape}};
}

std::vector<TensorType> infer_others(const OpView& view) {
  infer_prod(view);
  return {view.type(0)};
}

std::vector<BatchState> batch_prod(const OpView& view, std::span<const BatchState> in) {
  const BatchState& x = in[0];
  if (x.kind == BatchState::Kind::free) return {x};
  const bool row = x.in_shape() && x.axis < view.shape(0).rank() - 1;
  return {row && x.kind == BatchState::Kind::split ? x : row ? x.as_mixed() : BatchState::mixed()};
}
std::vector<BatchState> batch_others(const OpView& view, std::span<const BatchState> in) {
  const BatchState& x = in[0];
  if (x.kind == BatchState::Kind::free) return {x};
  return {x.kind == BatchState::Kind::split && x.axis < view.shape(0).rank() - 1 ? x : x.as_mixed()};
}

template <class T>
using Product = std::conditional_t<std::is_integral_v<T>, std::int64_t, double>;
template <class T>
Product<T> number(T x) {
  return static_cast<Product<T>>(static_cast<Wide<T>>(x));
}

template <class T>
void prod_kernel(KernelContext& context) {
  const Shape& shape = context.type(0).shape;
  const std::int64_t n = shape.extent(-1);
  for_row_tiles(context.out_type(0).count(), n, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      Product<T> total = 1;
      for (std::int64_t i = 0; i < n; ++i) total *= number(context.in<T>(0)[row * n + i]);
      context.out<T>(0)[row] = static_cast<T>(static_cast<Wide<T>>(total));
    }
  });
}

// Forward the products before each element, backward those after it: no division, so zeros do no harm. The products
// before wait in the workspace, in full precision.
template <class T>
std::size_t row_of_products(const OpView& view, int threads) {
  return static_cast<std::size_t>(threads * view.shape(0).extent(-1)) * sizeof(Product<T>);
}
template <class T>
void others_kernel(KernelContext& context) {
  const std::int64_t n = context.type(0).shape.extent(-1);
  for_row_tiles(context.type(0).count() / n, n, [&](std::int64_t begin, std::int64_t end, int slot) {
    auto* before = reinterpret_cast<Product<T>*>(context.workspace()) + slot * n;
    for (std::int64_t row = begin; row < end; ++row) {
      const T* x = context.in<T>(0) + row * n;
      T* y = context.out<T>(0) + row * n;
      Product<T> total = 1;
      for (std::int64_t i = 0; i < n; ++i) {
        before[i] = total;
        total *= number(x[i]);
      }
      total = 1;
      for (std::int64_t i = n; i-- > 0;) {
        const Product<T> mine = number(x[i]);  // y may be x
        y[i] = static_cast<T>(static_cast<Wide<T>>(before[i] * total));
        total *= mine;
      }
    }
  });
}

Value element(const Value& x, std::int64_t i) { return slice(x, {.axis = -1, .start = i, .stop = i + 1}); }
Value product_of(const Value& x, std::int64_t without) {
  Shape column = x.shape();
  column[-1] = 1;
  Value y = full(x.graph(), column, x.dtype(), 1);
  for (std::int64_t i = 0; i < x.shape().extent(-1); ++i)
    if (i != without) y = y * element(x, i);
  return y;
}

Values prod_plain(const Plain& p) { return reshape(product_of(p.in[0], -1), p.out[0].shape); }
Values others_plain(const Plain& p) {
  std::vector<Value> parts;
  for (std::int64_t i = 0; i < p.in[0].shape().extent(-1); ++i) parts.push_back(product_of(p.in[0], i));
  return parts.empty() ? p.in[0] : concatenate(parts, -1);
}

std::vector<Sample> row_samples() {
  return {{{sample::normal({3, 5}).batched(0)}},          {{sample::normal({2, 3, 4}).batched(1)}},
          {{sample::normal({3, 2}).batched(1)}},          {{sample::normal({1})}},
          {{sample::ties({9, 4}).batched(0)}, {}, false},  // one zero, two zeros
          {{sample::extremes({18, 2})}, {}, false},       {{sample::uniform({300, 70}, 0.9, 1.1)}, {}, false}};
}

// The reduced axes last and as one; the shape of the result.
Value as_rows(const Value& x, const ReduceOptions& options, Shape& result) {
  std::vector<bool> reduced(static_cast<std::size_t>(x.rank()), options.axes.empty());
  for (const std::int64_t axis : options.axes) {
    const auto a = static_cast<std::size_t>(normalize_axis(axis, x.rank()));
    WEFT_CHECK(!reduced[a], "an axis is named twice");
    reduced[a] = true;
  }
  std::vector<std::int64_t> order, last;
  Shape rows;
  Dim n = 1;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const bool gone = reduced[static_cast<std::size_t>(axis)];
    (gone ? last : order).push_back(axis);
    if (gone) n = n * x.dim(axis);
    else rows.push_back(x.dim(axis));
    if (!gone) result.push_back(x.dim(axis));
    else if (options.keep) result.push_back(1);
  }
  order.insert(order.end(), last.begin(), last.end());
  rows.push_back(n);
  return reshape(transpose(x, order), rows);
}

}  // namespace

const OpDef& prod_op() {
  static const OpDef op{
      .name = "prod",
      .law = "y = x_0 x_1 ... x_{n - 1} of each row",
      .infer = infer_prod,
      .batch = batch_prod,
      .backward = [](Backward& b) { b.input(0, unsqueeze(b.cotangent(0), -1) * build(prod_others_op(), {b.in(0)})); },
      .plain = prod_plain,
      .traits = {.precision = Precision::f32},
      .kernels = {{.dtype = f32, .run = prod_kernel<float>},
                  {.dtype = f64, .run = prod_kernel<double>},
                  {.dtype = bf16, .run = prod_kernel<bfloat16>},
                  {.dtype = f16, .run = prod_kernel<float16>},
                  {.dtype = i32, .run = prod_kernel<std::int32_t>},
                  {.dtype = i64, .run = prod_kernel<std::int64_t>}},
      .samples = row_samples(),
      .bad_samples = {{{{f32, {}}}, {}, "needs rows"}, {{{boolean, {3}}}, {}, "rows of numbers"}},
  };
  return op;
}

const OpDef& prod_others_op() {
  static const OpDef op{
      .name = "prod_others",
      .law = "y_i = prod_{j != i} x_j of each row",
      .infer = infer_others,
      .batch = batch_others,
      .plain = others_plain,
      .traits = {.in_place = {{0, 0}}, .precision = Precision::f32},
      .kernels = {{.dtype = f32, .run = others_kernel<float>, .workspace = row_of_products<float>},
                  {.dtype = f64, .run = others_kernel<double>, .workspace = row_of_products<double>},
                  {.dtype = bf16, .run = others_kernel<bfloat16>, .workspace = row_of_products<bfloat16>},
                  {.dtype = f16, .run = others_kernel<float16>, .workspace = row_of_products<float16>}},
      .samples = {{{sample::normal({3, 5}).batched(0)}},
                  {{sample::normal({2, 2, 4}).batched(1)}},
                  {{sample::normal({2}).batched(0)}},
                  {{sample::ties({9, 4}).batched(0)}, {}, false},
                  {{sample::uniform({300, 40}, 0.9, 1.1)}, {}, false}},
      .bad_samples = {{{{f32, {}}}, {}, "needs rows"}},
  };
  return op;
}

Value prod(const Arg& x, const ReduceOptions& options) {
  const auto line = called_at({x});
  if (!x.value().valid()) return x.value();
  Shape result;
  const Value rows = as_rows(x.value(), options, result);
  return reshape(build(prod_op(), {{rows, x.where()}}), result);
}

Value var(const Arg& x, const ReduceOptions& options, double correction) {
  const auto line = called_at({x});
  if (!x.value().valid()) return x.value();
  // In the wide type, rounded once: squares of f16 overflow, and bf16 has no digits left beside a large mean.
  const DType dtype = x.value().dtype();
  const Value wider = is_float(dtype) ? cast(x, wide(dtype)) : x.value();
  const Value shifted = wider - mean(wider, {options.axes, true});
  const Value n = sum(ones_like(shifted), {options.axes, true});
  const Value divisor = options.keep ? n : sum(n, {options.axes, false});
  return cast(sum(square(shifted), options) / maximum(divisor - correction, 0.0), dtype);
}

namespace {

// sqrt(x) whose derivative at 0 is 0.
Value root(const Value& x) {
  const Value zero = equal(x, 0.0);
  return where(zero, 0.0, sqrt(where(zero, 1.0, x)));
}

}  // namespace

Value std_dev(const Arg& x, const ReduceOptions& options, double correction) {
  const auto line = called_at({x});
  if (!x.value().valid()) return x.value();
  const DType dtype = x.value().dtype();
  return cast(root(var(is_float(dtype) ? Arg(cast(x, wide(dtype)), x.where()) : x, options, correction)), dtype);
}

Value vector_norm(const Arg& x, const VectorNormOptions& options) {
  const auto line = called_at({x});
  const double p = options.p;
  WEFT_CHECK(p >= 1, "vector_norm: p must be at least 1, got {} ({})", p, str(x.where()));
  if (!x.value().valid()) return x.value();
  const DType dtype = x.value().dtype();
  WEFT_CHECK(is_float(dtype), "vector_norm needs a floating type, got {} ({})", x.value().type().str(), str(x.where()));
  const ReduceOptions over{options.axes, options.keep};
  const Value wider = cast(x, wide(dtype));
  if (std::isinf(p)) return cast(max(abs(wider), over), dtype);
  if (p == 1) return cast(sum(abs(wider), over), dtype);
  if (p == 2) return cast(root(sum(square(wider), over)), dtype);
  const Value total = sum(pow(abs(wider), p), over), zero = equal(total, 0.0);
  return cast(where(zero, 0.0, pow(where(zero, 1.0, total), 1 / p)), dtype);
}

Value logsumexp(const Arg& x, const ReduceOptions& options) {
  const auto line = called_at({x});
  if (!x.value().valid()) return x.value();
  Shape result;
  const Value rows = as_rows(x.value(), options, result);
  return reshape(logsumexp(Arg(rows, x.where()), LogSumExpOptions{}), result);
}

// The largest of the mirrored numbers; of integers -1 - x, which does not overflow.
Value argmin(const Arg& x, std::int64_t axis, bool keep) {
  const auto line = called_at({x});
  if (!x.value().valid()) return x.value();
  return argmax(is_float(x.value().dtype()) ? -x.value() : -1.0 - x.value(), axis, keep);
}

void register_statistics() {
  registry().add(prod_op());
  registry().add(prod_others_op());
}

}  // namespace weft
