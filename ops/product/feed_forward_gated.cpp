#include <weft/ops/product/feed_forward.h>

#include <weft/ops/kit/build.h>
#include <weft/ops/kit/terms.h>
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

constexpr Operands operands{.weight1 = 1, .gate = 2, .weight2 = 3, .bias1 = 4, .gate_bias = 5, .bias2 = 6};

std::vector<TensorType> forward_infer(const OpView& view) { return checked_forward(view, operands); }

std::vector<BatchState> forward_batch(const OpView& view, std::span<const BatchState> in) {
  return rows_of_x(view, in, 0);
}

std::size_t workspace(const OpView& view, int threads) { return forward_workspace(view, operands, threads); }

Cost cost(const OpView& view) { return forward_cost(view, operands); }

template <class T>
void forward_kernel(KernelContext& context) {
  const Activation& f = activation_of(context.attributes());
  run_forward<T>(context, operands, [&](const T* hidden, const T* gated, T* activated, std::int64_t n) {
    glu_row(f, hidden, gated, activated, n);
  });
}

Values forward_plain(const Plain& p) {
  const auto in = [&](int i) { return widened_operand(p, i); };
  const DType dtype = p.in[0].dtype();
  const Value hidden = linear(in(0), in(operands.weight1), in(operands.bias1));
  const Value gated = linear(in(0), in(operands.gate), in(operands.gate_bias));
  const Value activated = hidden * activation_of(p.attributes).value(gated);
  return {cast(linear(activated, in(operands.weight2), in(operands.bias2)), dtype), cast(hidden, dtype),
          cast(gated, dtype)};
}

// With d_hidden, d_gated and activated of gated_feed_forward_backward, and what flows into hidden and gated themselves:
// d_x = d_hidden w1 + d_gated wg, d_w1 = d_hidden^T x, d_wg = d_gated^T x, d_w2 = d_y^T activated; biases: sums of
// rows.
void gradient(Backward& b) {
  Value d_hidden, d_gated, activated;
  if (b.has_cotangent(0)) {
    const Values d =
        build_all(gated_feed_forward_backward_op(), {b.cotangent(0), b.in(3), b.out(1), b.out(2)}, b.attributes());
    d_hidden = d[0];
    d_gated = d[1];
    activated = d[2];
  }
  add_cotangent(b, 1, d_hidden);
  add_cotangent(b, 2, d_gated);
  if (b.wants(0)) {
    Value d_x;
    if (d_hidden.valid()) d_x = matmul(d_hidden, b.in(operands.weight1));
    if (d_gated.valid()) {
      const Value through_gate = matmul(d_gated, b.in(operands.gate));
      d_x = d_x.valid() ? d_x + through_gate : through_gate;
    }
    b.input(0, d_x);
  }
  weight_gradient(b, operands.weight1, d_hidden, b.in(0));
  weight_gradient(b, operands.gate, d_gated, b.in(0));
  bias_gradient(b, operands.bias1, d_hidden);
  bias_gradient(b, operands.gate_bias, d_gated);
  if (!b.has_cotangent(0)) return;
  weight_gradient(b, operands.weight2, b.cotangent(0), activated);
  bias_gradient(b, operands.bias2, b.cotangent(0));
}

// --- gated_feed_forward_backward(d_y, w2, hidden, gated): with d = d_y w2,
//     d_hidden = d f(gated), d_gated = d hidden f'(gated), activated = hidden f(gated) ---

std::vector<TensorType> backward_infer(const OpView& view) { return checked_backward(view, {"hidden", "gated"}, 3); }

std::vector<BatchState> backward_batch(const OpView& view, std::span<const BatchState> in) {
  return rows_of_d_y(view, in, 2);
}

template <class T>
void backward_kernel(KernelContext& context) {
  const Activation& f = activation_of(context.attributes());
  run_backward<T>(context, [&](std::int64_t i, std::int64_t n) {
    T* d = context.out<T>(0) + i;
    glu_row_grad(f, context.in<T>(2) + i, context.in<T>(3) + i, d, d, context.out<T>(1) + i, context.out<T>(2) + i, n);
  });
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
      .infer = forward_infer,
      .batch = forward_batch,
      .backward = gradient,
      .plain = forward_plain,
      .terms = terms_are({{.output = 0, .factors = {3}, .inner = {{0, 1}, {4}, {0, 2}, {5}}},
                          {.output = 0, .factors = {6}},
                          {.output = 1, .factors = {0, 1}},
                          {.output = 1, .factors = {4}},
                          {.output = 2, .factors = {0, 2}},
                          {.output = 2, .factors = {5}}}),
      .units = units_in_rows({1, 2, 3, 4, 5, 6}),
      .traits = {.cheap = false, .precision = Precision::low},
      .cost = cost,
      .kernels = {{.dtype = f32, .run = forward_kernel<float>, .workspace = workspace},
                  {.dtype = f64, .run = forward_kernel<double>, .workspace = workspace},
                  {.dtype = bf16, .run = forward_kernel<bfloat16>, .workspace = workspace},
                  {.dtype = f16, .run = forward_kernel<float16>, .workspace = workspace}},
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
