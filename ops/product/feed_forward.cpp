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

std::vector<TensorType> feed_forward_infer(const OpView& view) {
  expect_float(view, 0);
  expect_same_dtype(view);
  expect_rank(view, 1, 2, "weight1");
  expect_rank(view, 2, 2, "weight2");
  activation_of(view.attributes);
  const Shape &x = view.shape(0), &w1 = view.shape(1), &w2 = view.shape(2);
  WEFT_CHECK(x.rank() >= 1 && x[-1] == w1[1], "x must be [.., in] for weight1 [hidden, in]: got {} and {}", x.str(),
             w1.str());
  WEFT_CHECK(w2[1] == w1[0], "weight2 must be [out, hidden] for weight1 [hidden, in]: got {} and {}", w2.str(),
             w1.str());
  if (view.has(3)) expect_shape(view, 3, {w1[0]}, "bias1");
  if (view.has(4)) expect_shape(view, 4, {w2[0]}, "bias2");
  const DType dtype = view.type(0).dtype;
  return {{dtype, with_last(x, w2[0])}, {dtype, with_last(x, w1[0])}};
}

std::vector<BatchState> feed_forward_batch(const OpView& view, std::span<const BatchState> in) {
  return rows_of_x(view, in, 0);
}

Products products(const OpView& view, std::int64_t at = 0) { return {view.shape(0), view.shape(1), view.shape(2), at}; }
std::size_t feed_forward_workspace(const OpView& view, int threads) {
  return workspace_of(view.shape(0), view.shape(1), view.shape(2), view.type(0).dtype, threads);
}

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
void feed_forward_kernel(KernelContext& context) {
  const auto f = activation_of(context.attributes()).run<Wide<T>>();
  T* activated = reinterpret_cast<T*>(context.workspace());
  const Products whole = products(context.view());
  const std::size_t space = whole.activated_bytes(context.type(0).dtype);
  const std::int64_t rows = whole.rows, block = whole.block;
  for (std::int64_t at = 0; at < rows; at += block) {
    const Products p = products(context.view(), at);
    const std::int64_t width = p.up.n;
    T* hidden = context.out<T>(1) + at * width;
    gemm_bias(p.up, context.in<T>(0) + at * p.up.k, context.in<T>(1), context.in<T>(3), hidden,
              gemm_space(p.up, context, space), [&](const GemmTile& tile) {
                for (std::int64_t row = tile.row; row < tile.row + tile.rows; ++row)
                  activate(f, hidden + row * width + tile.column, activated + row * width + tile.column, tile.columns);
              });
    if (y_unread(context.attributes())) continue;
    gemm_bias(p.down, activated, context.in<T>(2), context.in<T>(4), context.out<T>(0) + at * p.down.n,
              gemm_space(p.down, context, space));
  }
}

Cost feed_forward_cost(const OpView& view) {
  const Products p = products(view);
  double bytes = 0;
  for (int i = 0; i < view.inputs(); ++i)
    if (view.has(i)) bytes += static_cast<double>(view.type(i).bytes());
  for (const TensorType& type : view.out) bytes += static_cast<double>(type.bytes());
  const std::int64_t down = y_unread(view.attributes) ? 0 : p.down.n;
  return {2.0 * static_cast<double>(p.rows) * static_cast<double>(p.up.n * (p.up.k + down)), bytes};
}

Values feed_forward_plain(const Plain& p) {
  const DType dtype = p.in[0].dtype();
  const auto widen = [&](std::size_t i) {
    const Value x = operand(p.in, i);
    return x.absent() ? x : cast(x, wide(dtype));
  };
  const Value hidden = linear(widen(0), widen(1), widen(3));
  return {cast(linear(activation_of(p.attributes).value(hidden), widen(2), widen(4)), dtype), cast(hidden, dtype)};
}

// With g = (d_y w2) f'(hidden) and what flows into hidden itself:
// d_x = g w1, d_w1 = g^T x, d_b1 = sum g, d_w2 = d_y^T f(hidden), d_b2 = sum d_y; each product is one.
void feed_forward_gradient(Backward& b) {
  Value d_hidden, activated;
  if (b.has_cotangent(0)) {
    const Values d = build_all(feed_forward_backward_op(), {b.cotangent(0), b.in(2), b.out(1)}, b.attributes());
    d_hidden = d[0];
    activated = d[1];
  }
  if (b.has_cotangent(1)) d_hidden = d_hidden.valid() ? d_hidden + b.cotangent(1) : b.cotangent(1);
  if (b.wants(0)) b.input(0, matmul(d_hidden, b.in(1)));
  if (b.wants(1)) b.input(1, matmul(flat_rows(d_hidden), flat_rows(b.in(0)), {.transpose_a = true}));
  if (b.wants(3)) b.input(3, sum_to(d_hidden, b.in(3).shape()));
  if (!b.has_cotangent(0)) return;
  if (b.wants(2)) b.input(2, matmul(flat_rows(b.cotangent(0)), flat_rows(activated), {.transpose_a = true}));
  if (b.wants(4)) b.input(4, sum_to(b.cotangent(0), b.in(4).shape()));
}

// --- feed_forward_backward(d_y, w2, hidden): d_hidden = (d_y w2) f'(hidden), activated = f(hidden) ---

std::vector<TensorType> feed_forward_backward_infer(const OpView& view) {
  expect_float(view, 0);
  expect_same_dtype(view);
  expect_rank(view, 1, 2, "weight2");
  activation_of(view.attributes);
  const Shape &d_y = view.shape(0), &w2 = view.shape(1);
  WEFT_CHECK(d_y.rank() >= 1 && d_y[-1] == w2[0], "d_y must be [.., out] for weight2 [out, hidden]: got {} and {}",
             d_y.str(), w2.str());
  expect_shape(view, 2, with_last(d_y, w2[1]), "hidden");
  return {view.type(2), view.type(2)};
}

std::vector<BatchState> feed_forward_backward_batch(const OpView& view, std::span<const BatchState> in) {
  return rows_of_d_y(view, in, 2);
}

Gemm backward_gemm(const OpView& view) {
  const Shape& w2 = view.shape(1);
  return {.m = rows_of(view.shape(0)), .n = w2.extent(1), .k = w2.extent(0)};
}

std::size_t feed_forward_backward_workspace(const OpView& view, int threads) {
  return gemm_workspace(backward_gemm(view), view.type(0).dtype, view.type(0).dtype, threads);
}

template <class T>
void feed_forward_backward_kernel(KernelContext& context) {
  using W = Wide<T>;
  const Activation& activation = activation_of(context.attributes());
  const Gemm g = backward_gemm(context.view());
  T* d_hidden = context.out<T>(0);
  gemm(g, context.in<T>(0), context.in<T>(1), d_hidden, gemm_space(g, context), [&](const GemmTile& tile) {
    constexpr std::int64_t block = 512;
    W left[block], right[block];
    for (std::int64_t row = tile.row; row < tile.row + tile.rows; ++row)
      for (std::int64_t i = 0; i < tile.columns; i += block) {
        const std::int64_t at = row * g.n + tile.column + i, count = std::min(block, tile.columns - i);
        const W* hidden = widened(context.in<T>(2) + at, left, count);
        W* d = wide_target(d_hidden + at, right);
        W* y = wide_target(context.out<T>(1) + at, left);  // may be hidden's own place
        activation.run_both(hidden, widened(d_hidden + at, right, count), y, d, count);
        store(d, d_hidden + at, count);
        store(y, context.out<T>(1) + at, count);
      }
  });
}

Cost feed_forward_backward_cost(const OpView& view) {
  const Gemm g = backward_gemm(view);
  const double bytes = static_cast<double>(view.type(0).bytes() + view.type(1).bytes() + 3 * view.type(2).bytes());
  return {2.0 * static_cast<double>(g.m) * static_cast<double>(g.n * g.k), bytes};
}

Values feed_forward_backward_plain(const Plain& p) {
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
      .infer = feed_forward_infer,
      .batch = feed_forward_batch,
      .backward = feed_forward_gradient,
      .plain = feed_forward_plain,
      .terms = terms_are({{.output = 0, .factors = {2}, .inner = {{0, 1}, {3}}},
                          {.output = 0, .factors = {4}},
                          {.output = 1, .factors = {0, 1}},
                          {.output = 1, .factors = {3}}}),
      .units = units_in_rows({1, 2, 3, 4}),
      .traits = {.cheap = false, .precision = Precision::low},
      .cost = feed_forward_cost,
      .kernels = {{.dtype = f32, .run = feed_forward_kernel<float>, .workspace = feed_forward_workspace},
                  {.dtype = f64, .run = feed_forward_kernel<double>, .workspace = feed_forward_workspace},
                  {.dtype = bf16, .run = feed_forward_kernel<bfloat16>, .workspace = feed_forward_workspace},
                  {.dtype = f16, .run = feed_forward_kernel<float16>, .workspace = feed_forward_workspace}},
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
      .infer = feed_forward_backward_infer,
      .batch = feed_forward_backward_batch,
      .plain = feed_forward_backward_plain,
      .terms = terms_are({{.output = 0, .factors = {0, 1}, .inner = {{2}}}, {.output = 1, .inner = {{2}}}}),
      .traits = {.cheap = false, .in_place = {{1, 2}}, .precision = Precision::low},
      .cost = feed_forward_backward_cost,
      .kernels =
          {{.dtype = f32, .run = feed_forward_backward_kernel<float>, .workspace = feed_forward_backward_workspace},
           {.dtype = f64, .run = feed_forward_backward_kernel<double>, .workspace = feed_forward_backward_workspace},
           {.dtype = bf16, .run = feed_forward_backward_kernel<bfloat16>, .workspace = feed_forward_backward_workspace},
           {.dtype = f16, .run = feed_forward_backward_kernel<float16>, .workspace = feed_forward_backward_workspace}},
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
