#include <weft/ops/kit/terms.h>
#include <weft/ops/norm/softmax.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/norm/softmax_rows.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/movement.h>

namespace weft {
using namespace along;
namespace {

// --- log_softmax: y_i = x_i - m - log sum_j exp(x_j - m) ---

template <class T>
void log_softmax_rows(KernelContext& context, const Layout& layout) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  const std::int64_t n = layout.n;
  for_row_tiles(layout.outer, n, [&](std::int64_t begin, std::int64_t end, int slot) {
    W* buffer = row_buffer<T>(context, layout, slot);
    for (std::int64_t row = begin; row < end; ++row) {
      T* out = context.out<T>(0) + row * n;
      const W* x = widened(context.in<T>(0) + row * n, buffer, n);
      W* y = wide_target(out, buffer);
      const W highest = v.max(x, n);
      const W log_total = static_cast<W>(std::log(sum_exp(x, highest, n)));
      v.add_scalar(x, -highest, y, n);
      v.add_scalar(y, -log_total, y, n);
      store(y, out, n);
    }
  });
}

template <class T>
void log_softmax_columns(KernelContext& context, const Layout& layout) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  for_column_blocks(layout, [&](std::int64_t outer, std::int64_t first, std::int64_t count) {
    const std::int64_t offset = outer * layout.n * layout.inner + first;
    W highest[columns], total[columns], buffer[columns];
    column_sums(context.in<T>(0) + offset, layout, count, highest, total, false);
    v.log(total, total, count);
    for (std::int64_t i = 0; i < layout.n; ++i) {
      const std::int64_t at = offset + i * layout.inner;
      v.subtract(widened(context.in<T>(0) + at, buffer, count), highest, buffer, count);
      W* y = wide_target(context.out<T>(0) + at, buffer);
      v.subtract(buffer, total, y, count);
      store(y, context.out<T>(0) + at, count);
    }
  });
}

template <class T>
void log_softmax_kernel(KernelContext& context) {
  const Layout layout(context);
  layout.inner == 1 ? log_softmax_rows<T>(context, layout) : log_softmax_columns<T>(context, layout);
}

Values log_softmax_plain(const Plain& p) {
  const int axis = static_cast<int>(p.attributes.integer("axis"));
  const Value shifted = p.in[0] - highest_along(p.in[0], axis);
  return shifted - log(sum(exp(shifted), {.axes = {axis}, .keep = true}));
}

}  // namespace

const OpDef& log_softmax_op() {
  static const OpDef op{
      .name = "log_softmax",
      .law = "y_i = x_i - m - log sum_j exp(x_j - m), m = max_j x_j, along `axis`",
      .infer = along_axis,
      .batch = apart_from_axis,
      .backward =
          [](Backward& b) { b.input(0, build(log_softmax_backward_op(), {b.out(0), b.cotangent(0)}, b.attributes())); },
      .plain = log_softmax_plain,
      .traits = {.in_place = {{0, 0}}, .precision = Precision::f32},
      .row_wise = along_rows,
      .kernels = row_kernels(log_softmax_kernel<float>, log_softmax_kernel<double>, log_softmax_kernel<bfloat16>,
                             log_softmax_kernel<float16>),
      .samples = axis_samples(1),
      .bad_samples = bad_axis(),
  };
  return op;
}

namespace {

// d_x = d_y - exp(y) sum(d_y)
template <class T>
void log_softmax_backward_kernel(KernelContext& context) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  const Layout layout(context);
  const auto finish = [&](std::int64_t at, const W* factor, std::int64_t count) {  // of at most `columns` elements
    W left[columns], right[columns];
    v.exp(widened(context.in<T>(0) + at, left, count), left, count);
    v.multiply(left, factor, left, count);
    W* d_x = wide_target(context.out<T>(0) + at, left);
    v.subtract(widened(context.in<T>(1) + at, right, count), left, d_x, count);
    store(d_x, context.out<T>(0) + at, count);
  };
  if (layout.inner == 1) {
    for_row_tiles(layout.outer, layout.n, [&](std::int64_t begin, std::int64_t end, int slot) {
      for (std::int64_t row = begin; row < end; ++row) {
        W factor[columns];
        const T* d_y = context.in<T>(1) + row * layout.n;
        std::fill_n(factor, columns, v.sum(widened(d_y, row_buffer<T>(context, layout, slot), layout.n), layout.n));
        for (std::int64_t i = 0; i < layout.n; i += columns)
          finish(row * layout.n + i, factor, std::min(columns, layout.n - i));
      }
    });
    return;
  }
  for_column_blocks(layout, [&](std::int64_t outer, std::int64_t first, std::int64_t count) {
    const std::int64_t offset = outer * layout.n * layout.inner + first;
    W total[columns], buffer[columns];
    std::fill_n(total, count, W(0));
    for (std::int64_t i = 0; i < layout.n; ++i)
      v.add(total, widened(context.in<T>(1) + offset + i * layout.inner, buffer, count), total, count);
    for (std::int64_t i = 0; i < layout.n; ++i) finish(offset + i * layout.inner, total, count);
  });
}

Values log_softmax_backward_plain(const Plain& p) {
  const int axis = static_cast<int>(p.attributes.integer("axis"));
  return p.in[1] - exp(p.in[0]) * sum(p.in[1], {.axes = {axis}, .keep = true});
}

}  // namespace

const OpDef& log_softmax_backward_op() {
  static const OpDef op{
      .name = "log_softmax_backward",
      .law = "d_x = d_y - exp(y) sum(d_y) along `axis`",
      .outputs = {"d_x"},
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = along_axis,
      .batch = apart_from_axis,
      .plain = log_softmax_backward_plain,
      .terms = linear_in({1}, {{0}}),
      .traits = {.precision = Precision::f32},
      .row_wise = along_rows,
      .kernels = row_kernels(log_softmax_backward_kernel<float>, log_softmax_backward_kernel<double>,
                             log_softmax_backward_kernel<bfloat16>, log_softmax_backward_kernel<float16>),
      .samples = axis_samples(2),
      .bad_samples = bad_cotangent(),
  };
  return op;
}

namespace {

// --- logsumexp: y = m + log sum_j exp(x_j - m) ---

std::vector<TensorType> logsumexp_infer(const OpView& view) {
  expect_float(view, 0);
  TensorType type = view.type(0);
  const int axis = axis_of(view);
  if (view.attributes.flag("keep")) type.shape[axis] = 1;
  else type.shape.erase(axis);
  return {type};
}

std::vector<BatchState> logsumexp_batch(const OpView& view, std::span<const BatchState> in) {
  if (!in[0].in_shape()) return {in[0].kind == BatchState::Kind::free ? BatchState{} : BatchState::mixed()};
  const int axis = axis_of(view);
  if (in[0].axis == axis) return {BatchState::mixed()};
  const bool moves = in[0].axis > axis && !view.attributes.flag("keep");
  return {moves ? in[0].moved_to(in[0].axis - 1) : in[0]};
}

template <class T>
void logsumexp_kernel(KernelContext& context) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  const Layout layout(context);
  if (layout.inner == 1) {
    for_row_tiles(layout.outer, layout.n, [&](std::int64_t begin, std::int64_t end, int slot) {
      for (std::int64_t row = begin; row < end; ++row) {
        const T* in = context.in<T>(0) + row * layout.n;
        const W* x = widened(in, row_buffer<T>(context, layout, slot), layout.n);
        const W highest = finite_or_zero(v.max(x, layout.n));
        context.out<T>(0)[row] = T(static_cast<W>(std::log(sum_exp(x, highest, layout.n)) + highest));
      }
    });
    return;
  }
  for_column_blocks(layout, [&](std::int64_t outer, std::int64_t first, std::int64_t count) {
    W highest[columns], total[columns];
    column_sums(context.in<T>(0) + outer * layout.n * layout.inner + first, layout, count, highest, total, true);
    T* out = context.out<T>(0) + outer * layout.inner + first;
    v.log(total, total, count);
    W* y = wide_target(out, total);
    v.add(total, highest, y, count);
    store(y, out, count);
  });
}

Values logsumexp_plain(const Plain& p) {
  const int axis = static_cast<int>(p.attributes.integer("axis"));
  const Value highest = stop_gradient(highest_along(p.in[0], axis));
  const Value shift = where(isfinite(highest), highest, 0.0);
  return reshape(shift + log(sum(exp(p.in[0] - shift), {.axes = {axis}, .keep = true})), p.out[0].shape);
}

// d_x = d_y exp(x - y)
void logsumexp_backward(Backward& b) {
  Shape kept = b.in(0).shape();
  kept[normalize_axis(b.attributes().integer("axis"), kept.rank())] = 1;
  b.input(0, reshape(b.cotangent(0), kept) * exp(b.in(0) - reshape(b.out(0), kept)));
}

}  // namespace

const OpDef& logsumexp_op() {
  static const OpDef op{
      .name = "logsumexp",
      .law = "y = m + log sum_j exp(x_j - m), m = max_j x_j, along `axis`",
      .infer = logsumexp_infer,
      .batch = logsumexp_batch,
      .backward = logsumexp_backward,
      .plain = logsumexp_plain,
      .traits = {.precision = Precision::f32},
      .row_wise = along_rows,
      .kernels = row_kernels(logsumexp_kernel<float>, logsumexp_kernel<double>, logsumexp_kernel<bfloat16>,
                             logsumexp_kernel<float16>),
      .samples = {{{sample::normal({3, 5}).batched(0)}, kept_at(1)},
                  {{sample::normal({3, 5}).batched(0)}, at(-1)},
                  {{sample::normal({2, 3, 4}).batched(2)}, at(1)},
                  {{sample::normal({4, 3}).batched(0)}, kept_at(0)},
                  {{sample::normal({6})}, at(0)},
                  {{sample::normal({2, 9, 300}).batched(0)}, at(1), false},
                  {{sample::normal({5, 2100}).batched(0)}, at(1), false},
                  {{sample::extremes({18, 2})}, at(1), false},
                  {{sample::uniform({6, 5}, -1e4, 1e4)}, at(1), false}},
      .bad_samples = bad_axis(),
  };
  return op;
}

Value log_softmax(const Arg& x, int axis) { return build(log_softmax_op(), {x}, at(axis)); }
Value logsumexp(const Arg& x, LogSumExpOptions options) {
  return build(logsumexp_op(), {x}, options.keep ? kept_at(options.axis) : at(options.axis));
}

}  // namespace weft
