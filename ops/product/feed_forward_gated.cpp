#include <weft/ops/kit/terms.h>
#include <weft/ops/product/feed_forward.h>

#include <weft/ops/kit/build.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/glu_rows.h>
#include <weft/ops/product/feed_forward_parts.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/reduce/reduce.h>

namespace weft {
namespace {

using namespace feed_forward_parts;

// --- gated_feed_forward(x, w1, wg, w2, b1, bg, b2):
//     hidden = x w1^T + b1, gated = x wg^T + bg, y = (hidden f(gated)) w2^T + b2 ---

std::vector<TensorType> gated_infer(const OpView& view) {
  expect_float(view, 0);
  expect_same_dtype(view);
  expect_rank(view, 1, 2, "weight1");
  expect_rank(view, 3, 2, "weight2");
  activation_of(view.attributes);
  const Shape &x = view.shape(0), &w1 = view.shape(1), &w2 = view.shape(3);
  WEFT_CHECK(x.rank() >= 1 && x[-1] == w1[1], "x must be [.., in] for weight1 [hidden, in]: got {} and {}", x.str(),
             w1.str());
  expect_shape(view, 2, w1, "the gate's weight");
  WEFT_CHECK(w2[1] == w1[0], "weight2 must be [out, hidden] for weight1 [hidden, in]: got {} and {}", w2.str(),
             w1.str());
  if (view.has(4)) expect_shape(view, 4, {w1[0]}, "bias1");
  if (view.has(5)) expect_shape(view, 5, {w1[0]}, "gate_bias");
  if (view.has(6)) expect_shape(view, 6, {w2[0]}, "bias2");
  const DType dtype = view.type(0).dtype;
  const TensorType hidden{dtype, with_last(x, w1[0])};
  return {{dtype, with_last(x, w2[0])}, hidden, hidden};
}

std::vector<BatchState> gated_batch(const OpView& view, std::span<const BatchState> in) {
  return rows_of_x(view, in, 0);
}

Products products(const OpView& view, std::int64_t at = 0) { return {view.shape(0), view.shape(1), view.shape(3), at}; }
std::size_t gated_workspace(const OpView& view, int threads) {
  return workspace_of(view.shape(0), view.shape(1), view.shape(3), view.type(0).dtype, threads);
}

template <class T>
void gated_kernel(KernelContext& context) {
  const Activation& f = activation_of(context.attributes());
  const Products whole = products(context.view());
  T* activated = reinterpret_cast<T*>(context.workspace());
  const std::size_t space = whole.activated_bytes(context.type(0).dtype);
  for (std::int64_t at = 0; at < whole.rows; at += whole.block) {
    const Products p = products(context.view(), at);
    const std::int64_t width = p.up.n;
    const T* x = context.in<T>(0) + at * p.up.k;
    T* hidden = context.out<T>(1) + at * width;
    T* gated = context.out<T>(2) + at * width;
    gemm_bias(p.up, x, context.in<T>(2), context.in<T>(5), gated, gemm_space(p.up, context, space));
    gemm_bias(p.up, x, context.in<T>(1), context.in<T>(4), hidden, gemm_space(p.up, context, space),
              [&](const GemmTile& tile) {
                for (std::int64_t row = tile.row; row < tile.row + tile.rows; ++row) {
                  const std::int64_t i = row * width + tile.column;
                  glu_row(f, hidden + i, gated + i, activated + i, tile.columns);
                }
              });
    if (y_unread(context.attributes())) continue;
    gemm_bias(p.down, activated, context.in<T>(3), context.in<T>(6), context.out<T>(0) + at * p.down.n,
              gemm_space(p.down, context, space));
  }
}

double moved_bytes(const OpView& view) {
  double bytes = 0;
  for (int i = 0; i < view.inputs(); ++i)
    if (view.has(i)) bytes += static_cast<double>(view.type(i).bytes());
  for (const TensorType& type : view.out) bytes += static_cast<double>(type.bytes());
  return bytes;
}
Cost gated_cost(const OpView& view) {
  const Products p = products(view);
  const std::int64_t down = y_unread(view.attributes) ? 0 : p.down.n;
  return {2.0 * static_cast<double>(p.rows) * static_cast<double>(p.up.n * (2 * p.up.k + down)), moved_bytes(view)};
}

Values gated_plain(const Plain& p) {
  const DType dtype = p.in[0].dtype();
  const auto widen = [&](std::size_t i) {
    const Value x = operand(p.in, i);
    return x.absent() ? x : cast(x, wide(dtype));
  };
  const Value hidden = linear(widen(0), widen(1), widen(4)), gated = linear(widen(0), widen(2), widen(5));
  const Value activated = hidden * activation_of(p.attributes).value(gated);
  return {cast(linear(activated, widen(3), widen(6)), dtype), cast(hidden, dtype), cast(gated, dtype)};
}

// With d_hidden, d_gated and activated of gated_feed_forward_backward, and what flows into hidden and gated themselves:
// d_x = d_hidden w1 + d_gated wg, d_w1 = d_hidden^T x, d_wg = d_gated^T x, d_w2 = d_y^T activated; biases: sums of
// rows.
void gated_gradient(Backward& b) {
  Value d_hidden, d_gated, activated;
  if (b.has_cotangent(0)) {
    const Values d =
        build_all(gated_feed_forward_backward_op(), {b.cotangent(0), b.in(3), b.out(1), b.out(2)}, b.attributes());
    d_hidden = d[0];
    d_gated = d[1];
    activated = d[2];
  }
  if (b.has_cotangent(1)) d_hidden = d_hidden.valid() ? d_hidden + b.cotangent(1) : b.cotangent(1);
  if (b.has_cotangent(2)) d_gated = d_gated.valid() ? d_gated + b.cotangent(2) : b.cotangent(2);
  if (b.wants(0)) {
    Value d_x;
    if (d_hidden.valid()) d_x = matmul(d_hidden, b.in(1));
    if (d_gated.valid()) {
      const Value through_gate = matmul(d_gated, b.in(2));
      d_x = d_x.valid() ? d_x + through_gate : through_gate;
    }
    b.input(0, d_x);
  }
  const auto weight = [&](int i, const Value& d) {
    if (b.wants(i) && d.valid()) b.input(i, matmul(flat_rows(d), flat_rows(b.in(0)), {.transpose_a = true}));
  };
  const auto bias = [&](int i, const Value& d) {
    if (b.wants(i) && d.valid()) b.input(i, sum_to(d, b.in(i).shape()));
  };
  weight(1, d_hidden);
  weight(2, d_gated);
  bias(4, d_hidden);
  bias(5, d_gated);
  if (!b.has_cotangent(0)) return;
  if (b.wants(3)) b.input(3, matmul(flat_rows(b.cotangent(0)), flat_rows(activated), {.transpose_a = true}));
  bias(6, b.cotangent(0));
}

// --- gated_feed_forward_backward(d_y, w2, hidden, gated): with d = d_y w2,
//     d_hidden = d f(gated), d_gated = d hidden f'(gated), activated = hidden f(gated) ---

std::vector<TensorType> backward_infer(const OpView& view) {
  expect_float(view, 0);
  expect_same_dtype(view);
  expect_rank(view, 1, 2, "weight2");
  activation_of(view.attributes);
  const Shape &d_y = view.shape(0), &w2 = view.shape(1);
  WEFT_CHECK(d_y.rank() >= 1 && d_y[-1] == w2[0], "d_y must be [.., out] for weight2 [out, hidden]: got {} and {}",
             d_y.str(), w2.str());
  expect_shape(view, 2, with_last(d_y, w2[1]), "hidden");
  expect_shape(view, 3, with_last(d_y, w2[1]), "gated");
  return {view.type(2), view.type(2), view.type(2)};
}

std::vector<BatchState> backward_batch(const OpView& view, std::span<const BatchState> in) {
  return rows_of_d_y(view, in, 2);
}

Gemm backward_gemm(const OpView& view) {
  const Shape& w2 = view.shape(1);
  return {.m = rows_of(view.shape(0)), .n = w2.extent(1), .k = w2.extent(0)};
}
std::size_t backward_workspace(const OpView& view, int threads) {
  return gemm_workspace(backward_gemm(view), view.type(0).dtype, view.type(0).dtype, threads);
}

template <class T>
void backward_kernel(KernelContext& context) {
  const Activation& f = activation_of(context.attributes());
  const Gemm g = backward_gemm(context.view());
  T* d = context.out<T>(0);
  gemm(g, context.in<T>(0), context.in<T>(1), d, gemm_space(g, context), [&](const GemmTile& tile) {
    for (std::int64_t row = tile.row; row < tile.row + tile.rows; ++row) {
      const std::int64_t i = row * g.n + tile.column;
      glu_row_grad(f, context.in<T>(2) + i, context.in<T>(3) + i, d + i, d + i, context.out<T>(1) + i,
                   context.out<T>(2) + i, tile.columns);
    }
  });
}

Cost backward_cost(const OpView& view) {
  const Gemm g = backward_gemm(view);
  return {2.0 * static_cast<double>(g.m) * static_cast<double>(g.n * g.k), moved_bytes(view)};
}

Values backward_plain(const Plain& p) {
  const DType dtype = p.in[0].dtype();
  const Activation& f = activation_of(p.attributes);
  const Value hidden = cast(p.in[2], wide(dtype)), gated = cast(p.in[3], wide(dtype));
  const Value d = matmul(cast(p.in[0], wide(dtype)), cast(p.in[1], wide(dtype)));
  const Value activated = f.value(gated);
  return {cast(d * activated, dtype), cast(f.grad(gated, d * hidden), dtype), cast(hidden * activated, dtype)};
}

Attributes with(std::string activation) { return {{"activation", std::move(activation)}}; }

}  // namespace

const OpDef& gated_feed_forward_op() {
  using sample::normal, sample::absent;
  static const OpDef op{
      .name = "gated_feed_forward",
      .law = "hidden = x weight1^T + bias1, gated = x gate^T + gate_bias, y = (hidden f(gated)) weight2^T + bias2",
      .source = "Shazeer 2020, arXiv:2002.05202, eqs. 5 and 6",
      .outputs = {"y", "hidden", "gated"},
      .least_inputs = 4,
      .most_inputs = 7,
      .infer = gated_infer,
      .batch = gated_batch,
      .backward = gated_gradient,
      .plain = gated_plain,
      .terms = terms_are({{.output = 0, .factors = {3}, .inner = {{0, 1}, {4}, {0, 2}, {5}}},
                          {.output = 0, .factors = {6}},
                          {.output = 1, .factors = {0, 1}},
                          {.output = 1, .factors = {4}},
                          {.output = 2, .factors = {0, 2}},
                          {.output = 2, .factors = {5}}}),
      .units = units_in_rows({1, 2, 3, 4, 5, 6}),
      .traits = {.cheap = false, .precision = Precision::low},
      .cost = gated_cost,
      .kernels = {{.dtype = f32, .run = gated_kernel<float>, .workspace = gated_workspace},
                  {.dtype = f64, .run = gated_kernel<double>, .workspace = gated_workspace},
                  {.dtype = bf16, .run = gated_kernel<bfloat16>, .workspace = gated_workspace},
                  {.dtype = f16, .run = gated_kernel<float16>, .workspace = gated_workspace}},
      .samples = {{{normal({3, 4}).batched(0), normal({5, 4}), normal({5, 4}), normal({2, 5}), normal({5}), normal({5}),
                    normal({2})},
                   with("silu")},
                  {{normal({2, 3, 4}).batched(1), normal({5, 4}), normal({5, 4}), normal({4, 5})}, with("gelu")},
                  {{normal({2, 3}).batched(0), normal({4, 3}), normal({4, 3}), normal({3, 4}), absent(), normal({4})},
                   with("sigmoid")},
                  {{normal({3}), normal({4, 3}), normal({4, 3}), normal({2, 4}), normal({4}), absent(), normal({2})},
                   with("tanh")},
                  {{normal({12, 20, 33}).batched(0), normal({65, 33}), normal({65, 33}), normal({31, 65}), normal({65}),
                    normal({65}), normal({31})},
                   with("gelu"),
                   false},
                  {{normal({300, 4}), normal({20000, 4}, 0, 0.1), normal({20000, 4}), normal({2, 20000}, 0, 0.01)},
                   with("silu"),
                   false},
                  {{sample::extremes({6, 3}), normal({4, 3}), normal({4, 3}), normal({2, 4})}, with("relu"), false}},
      .bad_samples =
          {{{{f32, {3, 4}}, {f32, {5, 4}}, {f32, {5, 4}}, {f32, {2, 5}}}, with("sine"), "unknown activation 'sine'"},
           {{{f32, {3, 4}}, {f32, {4, 5}}, {f32, {4, 5}}, {f32, {2, 5}}}, with("silu"), "x must be [.., in]"},
           {{{f32, {3, 4}}, {f32, {5, 4}}, {f32, {4, 4}}, {f32, {2, 5}}},
            with("silu"),
            "the gate's weight must be [5, 4]"},
           {{{f32, {3, 4}}, {f32, {5, 4}}, {f32, {5, 4}}, {f32, {5, 2}}},
            with("silu"),
            "weight2 must be [out, hidden]"},
           {{{f32, {3, 4}}, {f32, {5, 4}}, {f32, {5, 4}}, {f32, {2, 5}}, {f32, {5}}, {f32, {2}}},
            with("silu"),
            "gate_bias must be [5]"}},
  };
  return op;
}

const OpDef& gated_feed_forward_backward_op() {
  using sample::normal;
  static const OpDef op{
      .name = "gated_feed_forward_backward",
      .law = "d = d_y weight2, d_hidden = d f(gated), d_gated = d hidden f'(gated), activated = hidden f(gated)",
      .outputs = {"d_hidden", "d_gated", "activated"},
      .least_inputs = 4,
      .most_inputs = 4,
      .infer = backward_infer,
      .batch = backward_batch,
      .plain = backward_plain,
      .terms = terms_are({{.output = 0, .factors = {0, 1}, .inner = {{3}}},
                          {.output = 1, .factors = {0, 1, 2}, .inner = {{3}}},
                          {.output = 2, .factors = {2}, .inner = {{3}}}}),
      .traits = {.cheap = false, .in_place = {{1, 3}, {2, 2}}, .precision = Precision::low},
      .cost = backward_cost,
      .kernels = {{.dtype = f32, .run = backward_kernel<float>, .workspace = backward_workspace},
                  {.dtype = f64, .run = backward_kernel<double>, .workspace = backward_workspace},
                  {.dtype = bf16, .run = backward_kernel<bfloat16>, .workspace = backward_workspace},
                  {.dtype = f16, .run = backward_kernel<float16>, .workspace = backward_workspace}},
      .samples = {{{normal({3, 2}).batched(0), normal({2, 5}), normal({3, 5}).batched(0), normal({3, 5}).batched(0)},
                   with("silu")},
                  {{normal({2, 3, 2}).batched(1), normal({2, 4}), normal({2, 3, 4}).batched(1),
                    normal({2, 3, 4}).batched(1)},
                   with("gelu")},
                  {{normal({2}), normal({2, 4}), normal({4}), normal({4})}, with("sigmoid")},
                  {{normal({200, 33}).batched(0), normal({33, 600}), normal({200, 600}).batched(0),
                    normal({200, 600}).batched(0)},
                   with("silu"),
                   false}},
      .bad_samples =
          {{{{f32, {3, 2}}, {f32, {3, 5}}, {f32, {3, 5}}, {f32, {3, 5}}}, with("silu"), "d_y must be [.., out]"},
           {{{f32, {3, 2}}, {f32, {2, 5}}, {f32, {3, 4}}, {f32, {3, 5}}}, with("silu"), "hidden must be [3, 5]"},
           {{{f32, {3, 2}}, {f32, {2, 5}}, {f32, {3, 5}}, {f32, {3, 4}}}, with("silu"), "gated must be [3, 5]"}},
  };
  return op;
}

Value gated_feed_forward(const Arg& x, const Arg& weight1, const Arg& gate, const Arg& weight2,
                         const GatedFeedForwardOptions& options) {
  return build(gated_feed_forward_op(), {x, weight1, gate, weight2, options.bias1, options.gate_bias, options.bias2},
               with(options.activation));
}

}  // namespace weft
