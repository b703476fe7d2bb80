#include <weft/ops/product/feed_forward.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/product/feed_forward_parts.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/reduce/reduce.h>

namespace weft {
namespace {

using namespace feed_forward_parts;

// --- feed_forward(x, w1, w2, b1, b2): hidden = x w1^T + b1, y = f(hidden) w2^T + b2 ---

constexpr Operands operands{.weight1 = 1, .gate = -1, .weight2 = 2, .bias1 = 3, .gate_bias = -1, .bias2 = 4};

std::vector<TensorType> forward_infer(const OpView& view) { return checked_forward(view, operands); }

std::vector<BatchState> forward_batch(const OpView& view, std::span<const BatchState> in) {
  return rows_of_x(view, in, 0);
}

std::size_t workspace(const OpView& view, int threads) { return forward_workspace(view, operands, threads); }

Cost cost(const OpView& view) { return forward_cost(view, operands); }

// y = f(x) on the elements of a row, through a buffer for types that are converted.
template <class T>
void activate(typename Simd<Wide<T>>::Unary f, const T* x, T* y, std::int64_t n) {
  if constexpr (is_narrow<T>) {
    float buffer[512];
    for (std::int64_t i = 0; i < n; i += 512) {
      const std::int64_t count = std::min<std::int64_t>(512, n - i);
      f(widened(x + i, buffer, count), buffer, count);
      store(buffer, y + i, count);
    }
  } else {
    f(x, y, n);
  }
}

template <class T>
void forward_kernel(KernelContext& context) {
  const auto f = activation_of(context.attributes()).run<Wide<T>>();
  run_forward<T>(context, operands,
                 [&](const T* hidden, const T*, T* activated, std::int64_t n) { activate(f, hidden, activated, n); });
}

Values forward_plain(const Plain& p) {
  const auto in = [&](int i) { return widened_operand(p, i); };
  const DType dtype = p.in[0].dtype();
  const Value hidden = linear(in(0), in(operands.weight1), in(operands.bias1));
  const Value activated = activation_of(p.attributes).value(hidden);
  return {cast(linear(activated, in(operands.weight2), in(operands.bias2)), dtype), cast(hidden, dtype)};
}

// With g = (d_y w2) f'(hidden) and what flows into hidden itself:
// d_x = g w1, d_w1 = g^T x, d_b1 = sum g, d_w2 = d_y^T f(hidden), d_b2 = sum d_y; each product is one.
void gradient(Backward& b) {
  Value d_hidden, activated;
  if (b.has_cotangent(0)) {
    const Values d = build_all(feed_forward_backward_op(), {b.cotangent(0), b.in(2), b.out(1)}, b.attributes());
    d_hidden = d[0];
    activated = d[1];
  }
  add_cotangent(b, 1, d_hidden);
  if (b.wants(0)) b.input(0, matmul(d_hidden, b.in(operands.weight1)));
  weight_gradient(b, operands.weight1, d_hidden, b.in(0));
  bias_gradient(b, operands.bias1, d_hidden);
  if (!b.has_cotangent(0)) return;
  weight_gradient(b, operands.weight2, b.cotangent(0), activated);
  bias_gradient(b, operands.bias2, b.cotangent(0));
}

// --- feed_forward_backward(d_y, w2, hidden): d_hidden = (d_y w2) f'(hidden), activated = f(hidden) ---

std::vector<TensorType> backward_infer(const OpView& view) { return checked_backward(view, {"hidden"}, 2); }

std::vector<BatchState> backward_batch(const OpView& view, std::span<const BatchState> in) {
  return rows_of_d_y(view, in, 2);
}

template <class T>
void backward_kernel(KernelContext& context) {
  using W = Wide<T>;
  const Activation& activation = activation_of(context.attributes());
  run_backward<T>(context, [&](std::int64_t first, std::int64_t n) {
    constexpr std::int64_t block = 512;
    W left[block], right[block];
    for (std::int64_t i = 0; i < n; i += block) {
      const std::int64_t at = first + i, count = std::min(block, n - i);
      T *d_hidden = context.out<T>(0) + at, *activated = context.out<T>(1) + at;
      const W* hidden = widened(context.in<T>(2) + at, left, count);
      W* d = wide_target(d_hidden, right);
      W* y = wide_target(activated, left);  // may be hidden's own place
      activation.run_both(hidden, widened(d_hidden, right, count), y, d, count);
      store(d, d_hidden, count);
      store(y, activated, count);
    }
  });
}

Values backward_plain(const Plain& p) {
  const DType dtype = p.in[0].dtype();
  const Activation& activation = activation_of(p.attributes);
  const Value hidden = cast(p.in[2], wide(dtype));
  const Value d_activated = matmul(cast(p.in[0], wide(dtype)), cast(p.in[1], wide(dtype)));
  return {cast(activation.grad(hidden, d_activated), dtype), cast(activation.value(hidden), dtype)};
}

Attributes with(std::string activation) { return {{"activation", std::move(activation)}}; }

}  // namespace

const OpDef& feed_forward_op() {
  using sample::normal, sample::absent;
  static const OpDef op{
      .name = "feed_forward",
      .law = "hidden = x weight1^T + bias1, y = f(hidden) weight2^T + bias2",
      .source = "Vaswani et al. 2017, arXiv:1706.03762, section 3.3, eq. 2",
      .outputs = {"y", "hidden"},
      .least_inputs = 3,
      .most_inputs = 5,
      .infer = forward_infer,
      .batch = forward_batch,
      .backward = gradient,
      .plain = forward_plain,
      .terms = terms_are({{.output = 0, .factors = {2}, .inner = {{0, 1}, {3}}},
                          {.output = 0, .factors = {4}},
                          {.output = 1, .factors = {0, 1}},
                          {.output = 1, .factors = {3}}}),
      .units = units_in_rows({1, 2, 3, 4}),
      .traits = {.cheap = false, .precision = Precision::low},
      .cost = cost,
      .kernels = {{.dtype = f32, .run = forward_kernel<float>, .workspace = workspace},
                  {.dtype = f64, .run = forward_kernel<double>, .workspace = workspace},
                  {.dtype = bf16, .run = forward_kernel<bfloat16>, .workspace = workspace},
                  {.dtype = f16, .run = forward_kernel<float16>, .workspace = workspace}},
      .samples = {{{normal({3, 4}).batched(0), normal({5, 4}), normal({2, 5}), normal({5}), normal({2})}, with("gelu")},
                  {{normal({2, 3, 4}).batched(1), normal({5, 4}), normal({4, 5})}, with("gelu_tanh")},
                  {{normal({2, 3}).batched(0), normal({4, 3}), normal({3, 4}), absent(), normal({3})}, with("silu")},
                  {{normal({3}), normal({4, 3}), normal({2, 4}), normal({4}), absent()}, with("relu")},
                  {{normal({12, 20, 33}).batched(0), normal({65, 33}), normal({31, 65}), normal({65}), normal({31})},
                   with("gelu"),
                   false},
                  {{normal({3, 4}).batched(0), normal({5, 4}), normal({2, 5}), normal({5})}, with("mish")},
                  {{normal({3, 4}).batched(0), normal({5, 4}), normal({2, 5}), normal({5})}, with("softplus")},
                  {{normal({3, 4}).batched(0), normal({5, 4}), normal({2, 5}), normal({5})}, with("elu")},
                  {{normal({3, 4}).batched(0), normal({5, 4}), normal({2, 5}), normal({5})}, with("tanh")},
                  {{normal({3, 4}).batched(0), normal({5, 4}), normal({2, 5}), normal({5})}, with("sigmoid")},
                  {{normal({300, 4}), normal({20000, 4}, 0, 0.1), normal({2, 20000}, 0, 0.01)}, with("silu"), false},
                  {{sample::extremes({6, 3}), normal({4, 3}), normal({2, 4}), normal({4})}, with("relu"), false}},
      .bad_samples = {{{{f32, {3, 4}}, {f32, {5, 4}}, {f32, {2, 5}}}, with("sine"), "unknown activation 'sine'"},
                      {{{f32, {3, 4}}, {f32, {4, 5}}, {f32, {2, 5}}}, with("gelu"), "x must be [.., in]"},
                      {{{f32, {3, 4}}, {f32, {5, 4}}, {f32, {5, 2}}}, with("gelu"), "weight2 must be [out, hidden]"},
                      {{{f32, {3, 4}}, {f32, {5, 4}}, {f32, {2, 5}}, {f32, {2}}}, with("gelu"), "bias1 must be [5]"},
                      {{{f32, {3, 4}}, {f32, {5, 4}}, {f32, {2, 5}}, {f32, {5}}, {f32, {5}}},
                       with("gelu"),
                       "bias2 must be [2]"},
                      {{{i64, {3, 4}}, {i64, {5, 4}}, {i64, {2, 5}}}, with("gelu"), "floating type"}},
  };
  return op;
}

const OpDef& feed_forward_backward_op() {
  using sample::normal;
  static const OpDef op{
      .name = "feed_forward_backward",
      .law = "d_hidden = (d_y weight2) f'(hidden), activated = f(hidden)",
      .outputs = {"d_hidden", "activated"},
      .least_inputs = 3,
      .most_inputs = 3,
      .infer = backward_infer,
      .batch = backward_batch,
      .plain = backward_plain,
      .terms = terms_are({{.output = 0, .factors = {0, 1}, .inner = {{2}}}, {.output = 1, .inner = {{2}}}}),
      .traits = {.cheap = false, .in_place = {{1, 2}}, .precision = Precision::low},
      .cost = backward_cost,
      .kernels = {{.dtype = f32, .run = backward_kernel<float>, .workspace = backward_workspace},
                  {.dtype = f64, .run = backward_kernel<double>, .workspace = backward_workspace},
                  {.dtype = bf16, .run = backward_kernel<bfloat16>, .workspace = backward_workspace},
                  {.dtype = f16, .run = backward_kernel<float16>, .workspace = backward_workspace}},
      .samples = {{{normal({3, 2}).batched(0), normal({2, 5}), normal({3, 5}).batched(0)}, with("gelu")},
                  {{normal({2, 3, 2}).batched(1), normal({2, 4}), normal({2, 3, 4}).batched(1)}, with("gelu_tanh")},
                  {{normal({2}), normal({2, 4}), normal({4})}, with("silu")},
                  {{normal({3, 2}).batched(0), normal({2, 5}), normal({3, 5}).batched(0)}, with("relu")},
                  {{normal({200, 33}).batched(0), normal({33, 600}), normal({200, 600}).batched(0)},
                   with("gelu"),
                   false}},
      .bad_samples = {{{{f32, {3, 2}}, {f32, {3, 5}}, {f32, {3, 5}}}, with("gelu"), "d_y must be [.., out]"},
                      {{{f32, {3, 2}}, {f32, {2, 5}}, {f32, {3, 4}}}, with("gelu"), "hidden must be [3, 5]"}},
  };
  return op;
}

Values feed_forward_with_hidden(const Arg& x, const Arg& weight1, const Arg& weight2,
                                const FeedForwardOptions& options) {
  return build_all(feed_forward_op(), {x, weight1, weight2, options.bias1, options.bias2}, with(options.activation));
}
Value feed_forward(const Arg& x, const Arg& weight1, const Arg& weight2, const FeedForwardOptions& options) {
  return feed_forward_with_hidden(x, weight1, weight2, options).front();
}

void register_feed_forward() {
  registry().add(feed_forward_op());
  registry().add(feed_forward_backward_op());
  registry().add(gated_feed_forward_op());
  registry().add(gated_feed_forward_backward_op());
}

}  // namespace weft
