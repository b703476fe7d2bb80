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

struct Softmax {
  static constexpr int operands = 1;
  template <class W>
  static void row(const Simd<W>& v, const W* x, W* y, std::int64_t n) {
    const W total = v.exp_sum(x, W(1), v.max(x, n), y, n);
    v.scale(y, W(1) / total, y, n);
  }
  static void gather(const auto& v, auto& block) {
    block.gather_exponentials();
    v.reciprocal(block.total, block.total, block.count);
  }
  template <class W>
  static void line(const Simd<W>& v, const auto& block, const W* x, W* y, std::int64_t count) {
    v.subtract(x, block.highest, y, count);
    v.exp(y, y, count);
    v.multiply(y, block.total, y, count);
  }
};

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
      .kernels = kernels_along<Softmax>(),
      .samples = axis_samples(1),
      .bad_samples = bad_axis(),
  };
  return op;
}

namespace {

// d_x = y (d_y - sum(y d_y))
struct SoftmaxBackward {
  static constexpr int operands = 2;
  template <class W>
  static void row(const Simd<W>& v, const W* y, const W* d_y, W* d_x, std::int64_t n) {
    v.softmax_grad(y, d_y, v.dot(y, d_y, n), W(1), d_x, n);
  }
  static void gather(const auto& v, auto& block) {
    std::fill_n(block.total, block.count, 0);
    for (std::int64_t i = 0; i < block.layout.n; ++i)
      v.accumulate_product(block.line(0, i), block.line(1, i), block.total, block.count);
  }
  template <class W>
  static void line(const Simd<W>& v, const auto& block, const W* y, const W* d_y, W* d_x, std::int64_t count) {
    v.subtract(d_y, block.total, d_x, count);
    v.multiply(y, d_x, d_x, count);
  }
};

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
      .kernels = kernels_along<SoftmaxBackward>(),
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
