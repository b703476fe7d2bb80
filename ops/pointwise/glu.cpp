#include <weft/ops/pointwise/glu.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/glu_rows.h>
#include <weft/ops/shape/movement.h>

namespace weft {
namespace {

using sample::extremes;
using sample::normal;

void expect_one_type(const OpView& view) {
  expect_float(view, 0);
  for (int i = 1; i < view.inputs(); ++i)
    WEFT_CHECK(view.type(i) == view.type(0), "{} must be of one type, got {} and {}",
               view.inputs() == 2 ? "x and gate" : "x, gate and d_y", view.type(0).str(), view.type(i).str());
  activation_of(view.attributes);
}

Attributes with(const std::string& activation) { return {{"activation", activation}}; }

// --- gated(x, gate): y = x f(gate) ---

template <class T>
void gated_kernel(KernelContext& k) {
  const Activation& f = activation_of(k.attributes());
  for_tiles(k.type(0).count(), [&](std::int64_t at, std::int64_t n) {
    glu_row(f, k.in<T>(0) + at, k.in<T>(1) + at, k.out<T>(0) + at, n);
  });
}

// --- gated_backward(x, gate, d_y): d_x = d_y f(gate), d_gate = d_y x f'(gate) ---

template <class T>
void gated_backward_kernel(KernelContext& k) {
  const Activation& f = activation_of(k.attributes());
  for_tiles(k.type(0).count(), [&](std::int64_t at, std::int64_t n) {
    glu_row_grad<T>(f, k.in<T>(0) + at, k.in<T>(1) + at, k.in<T>(2) + at, k.out<T>(0) + at, k.out<T>(1) + at, nullptr,
                    n);
  });
}

Value halves(const Arg& x, std::int64_t axis, const std::string& activation) {
  const auto line = called_at({x});
  const Value& value = x.value();
  WEFT_CHECK(!x.is_number(), "a gated unit splits a tensor: expected a Value, got the number {} ({})", x.number(),
             str(x.where()));
  if (!value.valid()) return value;
  const int at = normalize_axis(axis, value.rank());
  const std::int64_t extent = value.dim(at).value();
  WEFT_CHECK(extent % 2 == 0, "a gated unit splits axis {} in halves: expected an even extent, got {} ({})", axis,
             value.type().str(), str(x.where()));
  return gated({slice(x, {.axis = at, .stop = extent / 2}), x.where()},
               {slice(x, {.axis = at, .start = extent / 2}), x.where()}, activation);
}

}  // namespace

const OpDef& gated_op() {
  static const OpDef op{
      .name = "gated",
      .law = "y = x f(gate)",
      .source = "Dauphin et al. 2017, arXiv:1612.08083, eq. 1; Shazeer 2020, arXiv:2002.05202, eq. 5",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = [](const OpView& view) -> std::vector<TensorType> {
        expect_one_type(view);
        return {view.type(0)};
      },
      .batch = same_axis,
      .backward =
          [](Backward& b) {
            const Values d = build_all(gated_backward_op(), {b.in(0), b.in(1), b.cotangent(0)}, b.attributes());
            b.input(0, d[0]);
            b.input(1, d[1]);
          },
      .plain = [](const Plain& p) -> Values { return p.in[0] * activation_of(p.attributes).value(p.in[1]); },
      .terms = linear_in({0}, {{1}}),
      .traits = {.pointwise = true, .in_place = {{0, 1}, {0, 0}}},
      .kernels = {{.dtype = f32, .run = gated_kernel<float>},
                  {.dtype = f64, .run = gated_kernel<double>},
                  {.dtype = bf16, .run = gated_kernel<bfloat16>},
                  {.dtype = f16, .run = gated_kernel<float16>}},
      .samples = {{{normal({3, 5}).batched(0), normal({3, 5}).batched(0)}, with("sigmoid")},
                  {{normal({2, 4, 9}).batched(1), normal({2, 4, 9}).batched(1)}, with("silu")},
                  {{normal({4, 7}), normal({4, 7})}, with("gelu")},
                  {{normal({4, 7}), normal({4, 7}, 4, 0.5)}, with("relu")},
                  {{normal({}), normal({})}, with("mish")},
                  {{normal({3, 6001}), normal({3, 6001}, 0, 4)}, with("silu"), false},
                  {{normal({2, 40}), extremes({2, 40})}, with("sigmoid"), false}},
      .bad_samples = {{{{f32, {3}}, {f32, {4}}}, with("silu"), "x and gate must be of one type"},
                      {{{i64, {3}}, {i64, {3}}}, with("silu"), "floating type"},
                      {{{f32, {3}}, {f32, {3}}}, with("sine"), "unknown activation 'sine': expected one of celu"}},
  };
  return op;
}

const OpDef& gated_backward_op() {
  static const OpDef op{
      .name = "gated_backward",
      .law = "d_x = d_y f(gate), d_gate = d_y x f'(gate)",
      .outputs = {"d_x", "d_gate"},
      .least_inputs = 3,
      .most_inputs = 3,
      .infer = [](const OpView& view) -> std::vector<TensorType> {
        expect_one_type(view);
        return {view.type(0), view.type(0)};
      },
      .batch = same_axis,
      .plain = [](const Plain& p) -> Values {
        const Activation& f = activation_of(p.attributes);
        return {p.in[2] * f.value(p.in[1]), f.grad(p.in[1], p.in[2] * p.in[0])};
      },
      .terms =
          terms_are({{.output = 0, .factors = {2}, .inner = {{1}}}, {.output = 1, .factors = {0, 2}, .inner = {{1}}}}),
      .traits = {.pointwise = true, .in_place = {{0, 2}, {1, 1}}},
      .kernels = {{.dtype = f32, .run = gated_backward_kernel<float>},
                  {.dtype = f64, .run = gated_backward_kernel<double>},
                  {.dtype = bf16, .run = gated_backward_kernel<bfloat16>},
                  {.dtype = f16, .run = gated_backward_kernel<float16>}},
      .samples = {{{normal({3, 5}).batched(0), normal({3, 5}).batched(0), normal({3, 5}).batched(0)}, with("sigmoid")},
                  {{normal({4, 3}).batched(1), normal({4, 3}).batched(1), normal({4, 3}).batched(1)}, with("silu")},
                  {{normal({7}), normal({7}), normal({7})}, with("gelu")},
                  {{normal({}), normal({}), normal({})}, with("tanh")},
                  {{normal({3, 6001}), normal({3, 6001}), normal({3, 6001})}, with("silu"), false}},
      .bad_samples = {{{{f32, {3}}, {f32, {3}}, {f32, {4}}}, with("silu"), "x, gate and d_y must be of one type"}},
  };
  return op;
}

Value gated(const Arg& x, const Arg& gate, const std::string& activation) {
  const auto line = called_at({x});
  return build(gated_op(), {x, gate}, with(activation));
}
Value glu(const Arg& x, std::int64_t axis) { return halves(x, axis, "sigmoid"); }
Value reglu(const Arg& x, std::int64_t axis) { return halves(x, axis, "relu"); }
Value geglu(const Arg& x, std::int64_t axis) { return halves(x, axis, "gelu"); }
Value swiglu(const Arg& x, std::int64_t axis) { return halves(x, axis, "silu"); }

void register_glu() {
  registry().add(gated_op());
  registry().add(gated_backward_op());
}

}  // namespace weft
