// Sums of powers of all elements, added in double whatever the dtype: the parts of a norm over several tensors.
#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/reduce/reduce_kernel.h>

#include <algorithm>
#include <cmath>

namespace weft {
namespace {

// A double even where x is narrower: a square of a float fits, and norms are compared before they are rounded.
std::vector<TensorType> infer(const OpView& view) {
  expect_float(view, 0);
  return {{f64, {}}};
}

std::vector<TensorType> infer_powers(const OpView& view) {
  const double p = view.attributes.number("p");
  WEFT_CHECK(p >= 1 && std::isfinite(p), "the power must be a number of at least 1, got {}", p);
  return infer(view);
}

// The batch is summed with all else; sums of squares of sums are no sum.
std::vector<BatchState> batch(const OpView&, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  if (in[0].kind == Kind::free) return {in[0]};
  return {in[0].kind == Kind::split ? BatchState::summed() : BatchState::mixed()};
}

// row(x, n) adds up a piece; pieces are cut by the length alone.
template <class T, class Row>
void add_up(KernelContext& ctx, Row&& row) {
  const std::int64_t n = ctx.type(0).count(), pieces = (n + reduce_piece - 1) / reduce_piece;
  const T* x = ctx.in<T>(0);
  auto* partial = reinterpret_cast<double*>(ctx.workspace());
  parallel_for(pieces, [&](std::int64_t piece, int) {
    const std::int64_t begin = piece * reduce_piece;
    partial[piece] = row(x + begin, std::min(reduce_piece, n - begin));
  });
  double total = 0;
  for (std::int64_t piece = 0; piece < pieces; ++piece) total += partial[piece];
  *ctx.out<double>(0) = total;
}

std::size_t workspace(const OpView& view, int) {
  return static_cast<std::size_t>((view.type(0).count() + reduce_piece - 1) / reduce_piece) * sizeof(double);
}

// Eight lanes that are then combined as a tree.
template <class T, class Term>
double fold(const T* x, std::int64_t n, Term&& term) {
  double lanes[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::int64_t k = 0; k < 8; ++k) lanes[k] += term(Reducer<T>::map(x[i + k]));
  for (std::int64_t k = 0; i + k < n; ++k) lanes[k] += term(Reducer<T>::map(x[i + k]));
  for (int half = 4; half > 0; half /= 2)
    for (int k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  return lanes[0];
}

template <class T>
void squares_kernel(KernelContext& ctx) {
  add_up<T>(ctx, [](const T* x, std::int64_t n) {
    if constexpr (std::is_same_v<T, float>) return simd<float>().sum_squares_f64(x, n);
    else return fold(x, n, [](double v) { return v * v; });
  });
}

template <class T>
void powers_kernel(KernelContext& ctx) {
  const double p = ctx.attributes().number("p");
  add_up<T>(ctx, [p](const T* x, std::int64_t n) {
    if (p == 1) return fold(x, n, [](double v) { return std::abs(v); });
    return fold(x, n, [p](double v) { return std::pow(std::abs(v), p); });
  });
}

Values plain_squares(const Plain& node) {
  const Value wide = cast(node.in[0], f64);
  return {sum(wide * wide)};
}

Values plain_powers(const Plain& node) { return {sum(pow(abs(cast(node.in[0], f64)), node.attributes.number("p")))}; }

void backward_squares(Backward& b) {  // d_x = 2 x d_y
  b.input(0, b.in(0) * (cast(b.cotangent(0), b.in(0).dtype()) * 2.0));
}

void backward_powers(Backward& b) {  // d_x = p |x|^(p - 1) sign(x) d_y
  const double p = b.attributes().number("p");
  const Value slope = sign(b.in(0)) * (cast(b.cotangent(0), b.in(0).dtype()) * p);
  b.input(0, p == 1 ? slope : pow(abs(b.in(0)), p - 1) * slope);
}

}  // namespace

const OpDef& sum_squares_op() {
  static const OpDef op{
      .name = "sum_squares",
      .law = "y = sum of x^2 over all elements",
      .infer = infer,
      .batch = batch,
      .backward = backward_squares,
      .plain = plain_squares,
      .traits = {.precision = Precision::f32},
      .kernels = {{.dtype = f32, .run = squares_kernel<float>, .workspace = workspace},
                  {.dtype = f64, .run = squares_kernel<double>, .workspace = workspace},
                  {.dtype = bf16, .run = squares_kernel<bfloat16>, .workspace = workspace},
                  {.dtype = f16, .run = squares_kernel<float16>, .workspace = workspace}},
      .samples = {{{sample::normal({3, 5}).batched(0)}},
                  {{sample::normal({})}},
                  {{sample::normal({100001})}, {}, false},
                  {{sample::extremes({4, 9})}, {}, false}},
      .bad_samples = {{{{i32, {2}}}, {}, "floating type"}},
  };
  return op;
}

const OpDef& sum_powers_op() {
  static const OpDef op{
      .name = "sum_powers",
      .law = "y = sum of |x|^p over all elements",
      .infer = infer_powers,
      .batch = batch,
      .backward = backward_powers,
      .plain = plain_powers,
      .traits = {.cheap = false, .precision = Precision::f32},
      .kernels = {{.dtype = f32, .run = powers_kernel<float>, .workspace = workspace},
                  {.dtype = f64, .run = powers_kernel<double>, .workspace = workspace},
                  {.dtype = bf16, .run = powers_kernel<bfloat16>, .workspace = workspace},
                  {.dtype = f16, .run = powers_kernel<float16>, .workspace = workspace}},
      .samples = {{{sample::normal({3, 5}).batched(0)}, {{"p", 3.0}}},
                  {{sample::normal({7})}, {{"p", 1.0}}},
                  {{sample::normal({2, 4})}, {{"p", 1.5}}, false},
                  {{sample::normal({100001})}, {{"p", 2.5}}, false},
                  {{sample::extremes({4, 9})}, {{"p", 1.0}}, false}},
      .bad_samples = {{{{f32, {2}}}, {{"p", 0.5}}, "at least 1, got 0.5"},
                      {{{i32, {2}}}, {{"p", 3.0}}, "floating type"}},
  };
  return op;
}

Value sum_squares(const Arg& x) { return build(sum_squares_op(), {x}); }
Value sum_powers(const Arg& x, double p) { return build(sum_powers_op(), {x}, {{"p", p}}); }

}  // namespace weft
