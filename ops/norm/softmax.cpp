#include <weft/ops/norm/softmax.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/norm/softmax_rows.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>

namespace weft {
using namespace along;
namespace {

// --- softmax: y_i = exp(x_i - m) / sum_j exp(x_j - m), m = max_j x_j ---

template <class T>
void softmax_rows(KernelContext& context, const Layout& layout) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  const std::int64_t n = layout.n;
  for_row_tiles(layout.outer, n, [&](std::int64_t begin, std::int64_t end, int slot) {
    W* buffer = row_buffer<T>(context, layout, slot);
    for (std::int64_t row = begin; row < end; ++row) {
      T* out = context.out<T>(0) + row * n;
      const W* x = widened(context.in<T>(0) + row * n, buffer, n);
      W* y = wide_target(out, buffer);
      const W total = v.exp_sum(x, W(1), v.max(x, n), y, n);
      v.scale(y, W(1) / total, y, n);
      store(y, out, n);
    }
  });
}

template <class T>
void softmax_columns(KernelContext& context, const Layout& layout) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  for_column_blocks(layout, [&](std::int64_t outer, std::int64_t first, std::int64_t count) {
    const std::int64_t offset = outer * layout.n * layout.inner + first;
    W highest[columns], total[columns], buffer[columns];
    column_sums(context.in<T>(0) + offset, layout, count, highest, total, false);
    v.reciprocal(total, total, count);
    for (std::int64_t i = 0; i < layout.n; ++i) {
      const std::int64_t at = offset + i * layout.inner;
      v.subtract(widened(context.in<T>(0) + at, buffer, count), highest, buffer, count);
      v.exp(buffer, buffer, count);
      W* y = wide_target(context.out<T>(0) + at, buffer);
      v.multiply(buffer, total, y, count);
      store(y, context.out<T>(0) + at, count);
    }
  });
}

template <class T>
void softmax_kernel(KernelContext& context) {
  const Layout layout(context);
  layout.inner == 1 ? softmax_rows<T>(context, layout) : softmax_columns<T>(context, layout);
}

Values softmax_plain(const Plain& p) {
  const int axis = static_cast<int>(p.attributes.integer("axis"));
  const Value e = exp(p.in[0] - highest_along(p.in[0], axis));
  return e / sum(e, {.axes = {axis}, .keep = true});
}

}  // namespace

const OpDef& softmax_op() {
  static const OpDef op{
      .name = "softmax",
      .law = "y_i = exp(x_i - m) / sum_j exp(x_j - m), m = max_j x_j, along `axis`",
      .infer = along_axis,
      .batch = apart_from_axis,
      .backward =
          [](Backward& b) { b.input(0, build(softmax_backward_op(), {b.out(0), b.cotangent(0)}, b.attributes())); },
      .plain = softmax_plain,
      .traits = {.in_place = {{0, 0}}},
      .row_wise = along_rows,
      .kernels =
          row_kernels(softmax_kernel<float>, softmax_kernel<double>, softmax_kernel<bfloat16>, softmax_kernel<float16>),
      .samples = axis_samples(1),
      .bad_samples = bad_axis(),
  };
  return op;
}

namespace {

// d_x = y (d_y - sum(y d_y))
template <class T>
void softmax_backward_rows(KernelContext& context, const Layout& layout) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  const std::int64_t n = layout.n;
  for_row_tiles(layout.outer, n, [&](std::int64_t begin, std::int64_t end, int slot) {
    W* buffer = row_buffer<T>(context, layout, slot);
    for (std::int64_t row = begin; row < end; ++row) {
      T* out = context.out<T>(0) + row * n;
      const W* y = widened(context.in<T>(0) + row * n, buffer, n);
      const W* d_y = widened(context.in<T>(1) + row * n, buffer + n, n);
      W* d_x = wide_target(out, buffer);
      v.softmax_grad(y, d_y, v.dot(y, d_y, n), W(1), d_x, n);
      store(d_x, out, n);
    }
  });
}

template <class T>
void softmax_backward_columns(KernelContext& context, const Layout& layout) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  for_column_blocks(layout, [&](std::int64_t outer, std::int64_t first, std::int64_t count) {
    const std::int64_t offset = outer * layout.n * layout.inner + first;
    W inner[columns], left[columns], right[columns];
    std::fill_n(inner, count, W(0));
    const auto y = [&](std::int64_t i) { return widened(context.in<T>(0) + offset + i * layout.inner, left, count); };
    const auto d_y = [&](std::int64_t i) {
      return widened(context.in<T>(1) + offset + i * layout.inner, right, count);
    };
    for (std::int64_t i = 0; i < layout.n; ++i) v.accumulate_product(y(i), d_y(i), inner, count);
    for (std::int64_t i = 0; i < layout.n; ++i) {
      T* out = context.out<T>(0) + offset + i * layout.inner;
      const W* weight = y(i);
      v.subtract(d_y(i), inner, right, count);
      W* d_x = wide_target(out, left);
      v.multiply(weight, right, d_x, count);
      store(d_x, out, count);
    }
  });
}

template <class T>
void softmax_backward_kernel(KernelContext& context) {
  const Layout layout(context);
  layout.inner == 1 ? softmax_backward_rows<T>(context, layout) : softmax_backward_columns<T>(context, layout);
}

Values softmax_backward_plain(const Plain& p) {
  const int axis = static_cast<int>(p.attributes.integer("axis"));
  const Value &y = p.in[0], &d_y = p.in[1];
  return y * (d_y - sum(y * d_y, {.axes = {axis}, .keep = true}));
}

}  // namespace

const OpDef& softmax_backward_op() {
  static const OpDef op{
      .name = "softmax_backward",
      .law = "d_x = y (d_y - sum(y d_y)) along `axis`",
      .outputs = {"d_x"},
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = along_axis,
      .batch = apart_from_axis,
      .plain = softmax_backward_plain,
      .terms = linear_in({1}, {{0}}),
      .row_wise = along_rows,
      .kernels = row_kernels(softmax_backward_kernel<float>, softmax_backward_kernel<double>,
                             softmax_backward_kernel<bfloat16>, softmax_backward_kernel<float16>),
      .samples = axis_samples(2),
      .bad_samples = bad_cotangent(),
  };
  return op;
}

Value softmax(const Arg& x, int axis) { return build(softmax_op(), {x}, at(axis)); }

void register_softmax() {
  registry().add(softmax_op());
  registry().add(softmax_backward_op());
  registry().add(log_softmax_op());
  registry().add(log_softmax_backward_op());
  registry().add(logsumexp_op());
}

}  // namespace weft
