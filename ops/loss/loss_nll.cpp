#include <weft/ops/kit/terms.h>
#include <weft/ops/loss/loss.h>

#include <weft/graph/registry.h>
#include <weft/ops/index/ids.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/wide.h>

#include <algorithm>

namespace weft {
namespace {

// --- nll_loss(x, t, w): losses_i = -w[t_i] x[i, t_i], sum = sum_i losses_i, weight = sum_i w[t_i] ---

std::vector<TensorType> infer(const OpView& view) {
  expect_float(view, 0);
  expect_integer(view, 1);
  const Shape& x = view.shape(0);
  WEFT_CHECK(x.rank() >= 1, "the log probabilities must be [.., classes], got {}", x.str());
  expect_shape(view, 1, Shape(std::vector<Dim>(x.begin(), x.end() - 1)), "the targets");
  const DType dtype = wide(view.type(0).dtype);
  if (view.has(2)) {
    expect_shape(view, 2, {x[-1]}, "the class weights");
    expect_dtype(view, 2, dtype);
  }
  return {{dtype, {}}, {dtype, {}}, {dtype, view.shape(1)}};
}

std::vector<BatchState> batch(const OpView&, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  const bool weights_free = in.size() < 3 || in[2].kind == Kind::free;
  if (in[0].kind == Kind::free && in[1].kind == Kind::free && weights_free) return std::vector<BatchState>(3);
  if (weights_free && in[0].kind == Kind::split && in[0] == in[1])
    return {BatchState::summed(), BatchState::summed(), in[0]};
  return std::vector<BatchState>(3, BatchState::mixed());
}

// Sums: blocks of rows in double, then the blocks in order; both fixed by the shape.
constexpr std::int64_t block_rows = 1024;
std::int64_t blocks_of(const OpView& view) { return (view.shape(1).count() + block_rows - 1) / block_rows; }
std::size_t workspace(const OpView& view, int) {
  return static_cast<std::size_t>(2 * blocks_of(view)) * sizeof(double);
}

template <class T>
void kernel(KernelContext& context) {
  using W = Wide<T>;
  const std::int64_t classes = context.type(0).shape.extent(-1), blocks = blocks_of(context.view());
  const std::int64_t ignore = context.attributes().integer("ignore_index");
  const Ids targets(context, 1, classes, "target", "class");
  const T* x = context.in<T>(0);
  const W* weights = context.in<W>(2);
  W* losses = context.out<W>(2);
  auto* sums = reinterpret_cast<double*>(context.workspace());
  parallel_for(blocks, [&](std::int64_t block, int) {
    double sum = 0, weight = 0;
    for (std::int64_t i = block * block_rows; i < std::min(targets.count(), (block + 1) * block_rows); ++i) {
      losses[i] = 0;
      if (targets.unchecked(i) == ignore) continue;
      const std::int64_t target = targets[i];
      const W w = weights != nullptr ? weights[target] : W(1);
      losses[i] = -w * static_cast<W>(x[i * classes + target]);
      sum += static_cast<double>(losses[i]);
      weight += static_cast<double>(w);
    }
    sums[2 * block] = sum;
    sums[2 * block + 1] = weight;
  });
  double sum = 0, weight = 0;
  for (std::int64_t block = 0; block < blocks; ++block) {
    sum += sums[2 * block];
    weight += sums[2 * block + 1];
  }
  *context.out<W>(0) = static_cast<W>(sum);
  *context.out<W>(1) = static_cast<W>(weight);
}

Value column(const Value& x) {
  Shape shape = x.shape();
  shape.push_back(1);
  return reshape(x, shape);
}

// [c = t_i] where t_i counts: bool [.., C]
Value hot(const Value& x, const Value& targets, const Attributes& attributes) {
  const Value at = column(targets);
  const Value is_class = equal(at, iota(x.graph(), x.dim(-1), targets.dtype()));
  return logical_and(is_class, not_equal(at, attributes.integer("ignore_index")));
}

Values plain(const Plain& p) {
  const DType dtype = wide(p.in[0].dtype());
  const Value at = hot(p.in[0], p.in[1], p.attributes), x = cast(p.in[0], dtype);
  const bool weighted = p.in.size() > 2 && !p.in[2].absent();
  const Value share = weighted ? where(at, p.in[2], 0.0) : cast(at, dtype);
  const Value losses = -sum(where(at, x, 0.0) * share, {.axes = {-1}});
  return {sum(losses), sum(share), losses};
}

// With g_i the cotangents of sum and losses_i: d_x[i, c] = -g_i w[c] [c = t_i],
// d_w[c] = sum_i [c = t_i] (d_weight - g_i x[i, c]).
void backward(Backward& b) {
  const bool losses = b.has_cotangent(0) || b.has_cotangent(2);
  const bool weighted = b.inputs() > 2 && !b.in(2).absent();
  const Value at = hot(b.in(0), b.in(1), b.attributes());
  Value g;
  if (losses) {
    g = b.has_cotangent(2) ? column(b.cotangent(2)) : b.cotangent(0);
    if (b.has_cotangent(2) && b.has_cotangent(0)) g = g + b.cotangent(0);
  }
  if (losses && b.wants(0)) {
    const Value d = weighted ? -g * b.in(2) : -g;
    b.input(0, cast(where(at, d, 0.0), b.in(0).dtype()));
  }
  if (!b.wants(2)) return;
  const Value d_weight = b.cotangent(1);
  const Value each = losses ? d_weight - g * cast(b.in(0), d_weight.dtype()) : d_weight;
  b.input(2, sum_to(where(at, each, 0.0), b.in(2).shape()));
}

Attributes ignoring(std::int64_t index) { return {{"ignore_index", index}}; }

// The classes as the last axis.
Value classes_last(const Arg& x, int class_axis) {
  const Value& value = x.value();
  if (!value.valid() || value.rank() == 0) return value;
  const int axis = normalize_axis(class_axis, value.rank());
  if (axis == value.rank() - 1) return value;
  std::vector<std::int64_t> order;
  for (int i = 0; i < value.rank(); ++i)
    if (i != axis) order.push_back(i);
  order.push_back(axis);
  return transpose(x, order);
}

Values all_of(const Arg& input, const Arg& targets, const NllOptions& options) {
  return build_all(nll_loss_op(), {{classes_last(input, options.class_axis), input.where()}, targets, options.weight},
                   ignoring(options.ignore_index));
}

}  // namespace

const OpDef& nll_loss_op() {
  using sample::integers, sample::normal, sample::uniform;
  static const OpDef op{
      .name = "nll_loss",
      .law = "losses_i = -w[t_i] x[i, t_i], sum = sum_i losses_i, weight = sum_i w[t_i], t_i = ignore_index left out",
      .outputs = {"sum", "weight", "losses"},
      .least_inputs = 2,
      .most_inputs = 3,
      .infer = infer,
      .batch = batch,
      .backward = backward,
      .plain = plain,
      .terms = terms_are({{.output = 0, .factors = {0, 2}, .inner = {{1}}},
                          {.output = 1, .factors = {2}, .inner = {{1}}},
                          {.output = 2, .factors = {0, 2}, .inner = {{1}}}}),
      .wide_operands = {2},
      .traits = {.refuses = true},
      .kernels = {{.dtype = f32, .run = kernel<float>, .workspace = workspace},
                  {.dtype = f64, .run = kernel<double>, .workspace = workspace},
                  {.dtype = bf16, .run = kernel<bfloat16>, .workspace = workspace},
                  {.dtype = f16, .run = kernel<float16>, .workspace = workspace}},
      .samples = {{{normal({4, 5}).batched(0), integers({4}, 0, 5).batched(0)}, ignoring(-100)},
                  {{normal({2, 3, 5}).batched(1), integers({2, 3}, 0, 5).batched(1), uniform({5}, 0.5, 2)},
                   ignoring(2)},
                  {{normal({5}), integers({}, 0, 5)}, ignoring(-100)},
                  {{normal({4, 5}).batched(0), integers({4}, 0, 5).as(i32).batched(0), uniform({5}, 0.5, 2)},
                   ignoring(0)},
                  {{normal({2500, 7}), integers({2500}, 0, 7), uniform({7}, 0.5, 2)}, ignoring(3), false},
                  {{sample::extremes({18, 2}), integers({18}, 0, 2)}, ignoring(-100), false}},
      .bad_samples = {{{{f32, {4, 5}}, {i64, {5}}}, ignoring(-100), "the targets must be [4]"},
                      {{{f32, {4, 5}}, {f32, {4}}}, ignoring(-100), "i32 or i64"},
                      {{{f32, {}}, {i64, {}}}, ignoring(-100), "must be [.., classes]"},
                      {{{f32, {4, 5}}, {i64, {4}}, {f32, {4}}}, ignoring(-100), "the class weights must be [5]"},
                      {{{i64, {4, 5}}, {i64, {4}}}, ignoring(-100), "floating type"}},
  };
  return op;
}

Loss nll_loss(const Arg& input, const Arg& targets, const NllOptions& options) {
  const auto line = called_at({input});
  const Values y = all_of(input, targets, options);
  return LossTerm{1, y[0], y[1]};
}
Value nll_losses(const Arg& input, const Arg& targets, const NllOptions& options) {
  const auto line = called_at({input});
  return all_of(input, targets, options)[2];
}

void register_loss() { registry().add(nll_loss_op()); }

}  // namespace weft
