#include <weft/ops/reduce/scan.h>

#include <weft/graph/registry.h>
#include <weft/ops/index/index_rules.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/shape/arrange.h>
#include <weft/ops/shape/creation.h>

namespace weft {
using namespace index_rules;
namespace {

std::vector<TensorType> infer(const OpView& view) {
  WEFT_CHECK(view.type(0).dtype != boolean, "sums need numbers, got {}; hint: cast(x, i64)", view.type(0).str());
  axis_of(view, view.shape(0));
  return {view.type(0)};
}

// Linear; along the batch's own axis examples meet.
std::vector<BatchState> batch(const OpView& view, std::span<const BatchState> in) {
  return {in[0].in_shape() && in[0].axis == axis_of(view, view.shape(0)) ? in[0].as_mixed() : in[0]};
}

template <class T>
void kernel(KernelContext& context) {
  using Sum = std::conditional_t<std::is_integral_v<T>, std::int64_t, double>;
  const Shape& shape = context.type(0).shape;
  const int axis = axis_of(context.view(), shape);
  const bool reverse = context.attributes().flag("reverse");
  const std::int64_t n = shape.extent(axis), inner = extent_product(shape, axis + 1, shape.rank());
  for_row_tiles(extent_product(shape, 0, axis) * inner, n, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t line = begin; line < end; ++line) {
      const std::int64_t first = line / inner * n * inner + line % inner;
      Sum total = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t at = first + (reverse ? n - 1 - i : i) * inner;
        total += static_cast<Sum>(static_cast<Wide<T>>(context.in<T>(0)[at]));
        context.out<T>(0)[at] = static_cast<T>(static_cast<Wide<T>>(total));
      }
    }
  });
}

Values plain(const Plain& p) {
  const int axis = normalize_axis(p.attributes.integer("axis"), p.in[0].rank());
  const Value x = axis_last(p.in[0], axis);
  const Value ones = full(x.graph(), {x.dim(-1), x.dim(-1)}, x.dtype(), 1);
  return axis_back(matmul(x, p.attributes.flag("reverse") ? tril(ones) : triu(ones)), axis);
}

Attributes along(std::int64_t axis, bool reverse) { return {{"axis", axis}, {"reverse", reverse}}; }

}  // namespace

const OpDef& cumsum_op() {
  static const OpDef op{
      .name = "cumsum",
      .law = "y_i = sum_{j <= i} x_j along `axis` (reverse: j >= i)",
      .infer = infer,
      .batch = batch,
      .backward =
          [](Backward& b) {
            b.input(0, cumsum(b.cotangent(0), b.attributes().integer("axis"), !b.attributes().flag("reverse")));
          },
      .plain = plain,
      .reference =
          [](const OpView& view, Operands in) {
            const int axis = normalize_axis(view.attributes.integer("axis"), view.shape(0).rank());
            std::vector<double> y;
            each_element(view.shape(0), [&](std::int64_t, Indices at) {
              std::int64_t& here = at[static_cast<std::size_t>(axis)];
              const bool reverse = view.attributes.flag("reverse");
              const std::int64_t first = reverse ? here : 0, last = reverse ? view.shape(0).extent(axis) - 1 : here;
              Extended sum = 0;
              for (here = first; here <= last; ++here) sum += element(in[0], view.shape(0), at);
              y.push_back(static_cast<double>(sum));
            });
            return y;
          },
      .terms = linear_in({0}),
      .traits = {.in_place = {{0, 0}}, .precision = Precision::f32},
      .kernels = {{.dtype = f32, .run = kernel<float>},
                  {.dtype = f64, .run = kernel<double>},
                  {.dtype = bf16, .run = kernel<bfloat16>},
                  {.dtype = f16, .run = kernel<float16>},
                  {.dtype = i32, .run = kernel<std::int32_t>},
                  {.dtype = i64, .run = kernel<std::int64_t>}},
      .samples = {{{sample::normal({3, 5}).batched(0)}, along(1, false)},
                  {{sample::normal({2, 4, 3}).batched(2)}, along(1, true)},
                  {{sample::normal({4, 3}).batched(0)}, along(0, false)},
                  {{sample::normal({1})}, along(0, true)},
                  {{sample::normal({3, 3000})}, along(-1, false), false},
                  {{sample::extremes({18, 2})}, along(1, false), false}},
      .bad_samples = {{{{f32, {3}}}, along(1, false), "axis 1 is outside"},
                      {{{boolean, {3}}}, along(0, false), "need numbers"}},
  };
  return op;
}

Value cumsum(const Arg& x, std::int64_t axis, bool reverse) { return build(cumsum_op(), {x}, along(axis, reverse)); }

void register_scan() { registry().add(cumsum_op()); }

}  // namespace weft
