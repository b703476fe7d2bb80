#include <weft/ops/norm/softmax.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/norm/softmax_rows.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/movement.h>

namespace weft {
using namespace along;
namespace {

// --- log_softmax: y_i = x_i - m - log sum_j exp(x_j - m) ---

struct LogSoftmax {
  static constexpr int operands = 1;
  template <class W>
  static void row(const Simd<W>& v, const W* x, W* y, std::int64_t n) {
    const W highest = v.max(x, n);
    const W log_total = static_cast<W>(std::log(sum_exp(x, highest, n)));
    v.add_scalar(x, -highest, y, n);
    v.add_scalar(y, -log_total, y, n);
  }
  static void gather(const auto& v, auto& block) {
    block.gather_exponentials();
    v.log(block.total, block.total, block.count);
  }
  template <class W>
  static void line(const Simd<W>& v, const auto& block, const W* x, W* y, std::int64_t count) {
    v.subtract(x, block.highest, y, count);
    v.subtract(y, block.total, y, count);
  }
};

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
      .kernels = kernels_along<LogSoftmax>(),
      .samples = axis_samples(1),
      .bad_samples = bad_axis(),
  };
  return op;
}

namespace {

// d_x = d_y - exp(y) sum(d_y)
struct LogSoftmaxBackward {
  static constexpr int operands = 2;
  template <class W>
  static void row(const Simd<W>& v, const W* y, const W* d_y, W* d_x, std::int64_t n) {
    const W total = v.sum(d_y, n);
    v.exp(y, d_x, n);
    v.scale(d_x, total, d_x, n);
    v.subtract(d_y, d_x, d_x, n);
  }
  static void gather(const auto& v, auto& block) {
    std::fill_n(block.total, block.count, 0);
    for (std::int64_t i = 0; i < block.layout.n; ++i) v.add(block.total, block.line(1, i), block.total, block.count);
  }
  template <class W>
  static void line(const Simd<W>& v, const auto& block, const W* y, const W* d_y, W* d_x, std::int64_t count) {
    v.exp(y, d_x, count);
    v.multiply(d_x, block.total, d_x, count);
    v.subtract(d_y, d_x, d_x, count);
  }
};

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
      .kernels = kernels_along<LogSoftmaxBackward>(),
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
    ColumnBlock<T> block(context, layout, outer * layout.n * layout.inner + first, count);
    block.gather_exponentials(true);
    T* out = context.out<T>(0) + outer * layout.inner + first;
    v.log(block.total, block.total, count);
    W* y = wide_target(out, block.total);
    v.add(block.total, block.highest, y, count);
    store(y, out, count);
  });
}

Values logsumexp_plain(const Plain& p) {
  const int axis = static_cast<int>(p.attributes.integer("axis"));
  const Value highest = stop_gradient(highest_along(p.in[0], axis));
  const Value shift = where(isfinite(highest), highest, 0.0);
  return reshape(shift + log(sum(exp(p.in[0] - shift), {.axes = {axis}, .keep = true})), p.out[0].shape);
}

// d_x = d_y softmax(x); exp(x - y) would lose the digits that y was rounded by
void logsumexp_backward(Backward& b) {
  Shape kept = b.in(0).shape();
  const int axis = normalize_axis(b.attributes().integer("axis"), kept.rank());
  kept[axis] = 1;
  b.input(0, reshape(b.cotangent(0), kept) * softmax(b.in(0), axis));
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
