#include <weft/ops/norm/rms_norm.h>

#include <weft/graph/registry.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/norm/layer_norm.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/wide.h>

#include <cmath>

namespace weft {
namespace {

Value operand(const Values& in, std::size_t i) { return i < in.size() ? in[i] : Value{}; }
Shape column_of(Shape shape) {
  shape[-1] = 1;
  return shape;
}
std::int64_t rows_of(const Shape& shape) { return extent_product(shape, 0, shape.rank() - 1); }

// --- rms_norm: y = x rstd weight; x [.., n], weight [n], rstd [.., 1] ---

std::vector<TensorType> infer(const OpView& view) {
  expect_float(view, 0);
  WEFT_CHECK(view.shape(0).rank() >= 1, "expected rows, got {}", view.type(0).str());
  if (view.has(1)) {
    expect_shape(view, 1, {view.shape(0)[-1]}, "the weight");
    expect_dtype(view, 1, view.type(0).dtype);
  }
  return {view.type(0), {wide(view.type(0).dtype), column_of(view.shape(0))}};
}

std::vector<BatchState> batch(const OpView& view, std::span<const BatchState> in) {
  const BatchState state = same_axis(view, in).front();
  if (state.axis < view.shape(0).rank() - 1) return {state, state};
  return {state.as_mixed(), BatchState::mixed()};
}

// The weight in f32 and `rows` rows of f32 a thread, for types that are converted.
template <class T, int rows>
std::size_t wide_rows(const OpView& view, int threads) {
  const std::int64_t n = view.shape(rows == 1 ? 0 : 1).extent(-1);
  return is_narrow<T> ? static_cast<std::size_t>((1 + threads * rows) * n) * sizeof(float) : 0;
}

template <class T>
void kernel(KernelContext& context) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  const std::int64_t n = context.type(0).shape.extent(-1);
  const W eps = static_cast<W>(context.attributes().number("eps"));
  W* buffers = reinterpret_cast<W*>(context.workspace());
  const W* weight = context.has(1) ? widened(context.in<T>(1), buffers, n) : nullptr;
  for_row_tiles(rows_of(context.type(0).shape), n, [&](std::int64_t begin, std::int64_t end, int slot) {
    W* buffer = is_narrow<T> ? buffers + (1 + slot) * n : nullptr;
    for (std::int64_t row = begin; row < end; ++row) {
      const W* x = widened(context.in<T>(0) + row * n, buffer, n);
      const W rstd = reciprocal_deviation(x, W(0), n, eps);
      W* y = wide_target(context.out<T>(0) + row * n, buffer);
      v.normalize(x, W(0), rstd, weight, nullptr, y, n);
      store(y, context.out<T>(0) + row * n, n);
      context.out<W>(1)[row] = rstd;
    }
  });
}

Values plain(const Plain& p) {
  const DType dtype = p.in[0].dtype();
  const Value x = cast(p.in[0], wide(dtype)), weight = operand(p.in, 1);
  const Value rstd = rsqrt(mean(square(x), {.axes = {-1}, .keep = true}) + p.attributes.number("eps"));
  const Value h = x * rstd;
  return {cast(weight.absent() ? h : h * cast(weight, wide(dtype)), dtype), rstd};
}

// With h = x rstd; what flows into rstd itself: d_x = -d_rstd rstd^3 x / n
void backward(Backward& b) {
  Value d_x;
  if (b.has_cotangent(0)) {
    const Values d =
        build_all(rms_norm_backward_op(), {b.cotangent(0), b.in(0), b.out(1), b.inputs() > 1 ? b.in(1) : Value{}});
    d_x = d[0];
    if (b.inputs() > 1) b.input(1, d[1]);
  }
  if (b.wants(0) && b.has_cotangent(1)) {
    const Value &rstd = b.out(1), x = cast(b.in(0), rstd.dtype());
    const double n = static_cast<double>(b.in(0).shape().extent(-1));
    const Value more = cast(x * (b.cotangent(1) * rstd * rstd * rstd) * (-1 / n), b.in(0).dtype());
    d_x = d_x.valid() ? d_x + more : more;
  }
  if (d_x.valid()) b.input(0, d_x);
}

// --- rms_norm_backward(d_y, x, rstd, weight, onto): with h = x rstd and g = d_y weight
//     d_x = onto + rstd (g - h mean(g h)), d_weight = sum_rows d_y h ---

std::vector<TensorType> infer_backward(const OpView& view) {
  expect_float(view, 1);
  expect_shape(view, 0, view.shape(1), "the cotangent");
  expect_dtype(view, 0, view.type(1).dtype);
  expect_shape(view, 2, column_of(view.shape(1)), "rstd");
  expect_dtype(view, 2, wide(view.type(1).dtype));
  const TensorType parameter{view.type(1).dtype, {view.shape(1)[-1]}};
  if (view.has(3)) expect_shape(view, 3, parameter.shape, "the weight");
  if (view.has(4)) {
    expect_shape(view, 4, view.shape(1), "onto");
    expect_dtype(view, 4, view.type(1).dtype);
  }
  return {view.type(1), parameter};
}

std::vector<BatchState> batch_backward(const OpView& view, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  const BatchState rows = same_axis(view, in).front();
  if (rows.kind == Kind::free) return std::vector<BatchState>(2);
  const bool apart = rows.kind == Kind::split && rows.axis < view.shape(1).rank() - 1;
  const bool sums = apart && in[0] == rows && in[1] == rows;  // sums of products of both: of the same example
  const bool added = !view.has(4) || in[4] == rows;
  return {apart && added ? rows : rows.as_mixed(), sums ? BatchState::summed() : BatchState::mixed()};
}

// The weight's gradient is summed in blocks of rows, their number fixed by the shape; then over the blocks in order.
std::int64_t block_rows(std::int64_t rows) { return std::max<std::int64_t>(8, (rows + 31) / 32); }
std::int64_t blocks_of(std::int64_t rows) {
  return std::max<std::int64_t>(1, (rows + block_rows(rows) - 1) / block_rows(rows));
}

template <class T>
std::size_t backward_workspace(const OpView& view, int threads) {
  using W = Wide<T>;
  const std::int64_t n = view.shape(1).extent(-1);
  return static_cast<std::size_t>((blocks_of(rows_of(view.shape(1))) + threads) * n) * sizeof(W) +
         wide_rows<T, 2>(view, threads);
}

template <class T>
void backward_kernel(KernelContext& context) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  const std::int64_t n = context.type(1).shape.extent(-1), rows = rows_of(context.type(1).shape);
  const std::int64_t step = block_rows(rows), blocks = blocks_of(rows);
  W* sums = reinterpret_cast<W*>(context.workspace());
  W* buffers = sums + blocks * n;
  const W* rstd = context.in<W>(2);
  // After the blocks' sums: the weight, then a row of g and two rows of operands for each thread.
  const W* weight = context.has(3) ? widened(context.in<T>(3), buffers, n) : nullptr;
  const T* onto = context.has(4) ? context.in<T>(4) : nullptr;
  W* rows_buffer = buffers + (is_narrow<T> ? n : 0);
  const std::int64_t a_thread = is_narrow<T> ? 3 * n : n;
  parallel_for(blocks, [&](std::int64_t block, int slot) {
    W* d_weight = sums + block * n;
    W* g = rows_buffer + slot * a_thread;
    std::fill_n(d_weight, n, W(0));
    for (std::int64_t row = block * step; row < std::min(rows, (block + 1) * step); ++row) {
      const W* d_y = widened(context.in<T>(0) + row * n, g + n, n);
      const W* x = widened(context.in<T>(1) + row * n, g + 2 * n, n);
      v.scale(x, rstd[row], g, n);
      v.accumulate_product(d_y, g, d_weight, n);
      if (weight != nullptr) v.multiply(d_y, weight, g, n);
      else std::copy_n(d_y, n, g);
      const W inner = v.dot(g, x, n) * rstd[row] * rstd[row] / static_cast<W>(n);
      v.axpy(x, -inner, g, n);  // g - x inner
      T* out = context.out<T>(0) + row * n;
      W* d_x = onto != nullptr ? g : wide_target(out, g);
      v.scale(g, rstd[row], d_x, n);
      if (onto != nullptr) add_rounded(onto + row * n, d_x, out, n);
      else store(d_x, out, n);
    }
  });
  for (std::int64_t block = 1; block < blocks; ++block) v.add(sums, sums + block * n, sums, n);
  if constexpr (is_narrow<T>) store(sums, context.out<T>(1), n);
  else std::copy_n(sums, n, context.out<T>(1));
}

Values backward_plain(const Plain& p) {
  const DType dtype = p.in[1].dtype();
  const Value d_y = cast(p.in[0], wide(dtype)), x = cast(p.in[1], wide(dtype)), &rstd = p.in[2];
  const Value h = x * rstd, weight = operand(p.in, 3);
  const Value g = weight.absent() ? d_y : d_y * cast(weight, wide(dtype));
  const Value d_x = rstd * (g - h * mean(g * h, {.axes = {-1}, .keep = true}));
  const Value onto = operand(p.in, 4), own = cast(d_x, dtype);
  return {onto.absent() ? own : onto + own, cast(sum_to(d_y * h, {x.dim(-1)}), dtype)};
}

Attributes eps(double value) { return {{"eps", value}}; }

}  // namespace

const OpDef& rms_norm_op() {
  using sample::absent, sample::normal;
  static const OpDef op{
      .name = "rms_norm",
      .law = "y = x rstd weight, rstd = 1 / sqrt(mean(x^2) + eps), over the last axis",
      .source = "Zhang and Sennrich 2019, arXiv:1910.07467, equation 4",
      .outputs = {"y", "rstd"},
      .least_inputs = 1,
      .most_inputs = 2,
      .infer = infer,
      .batch = batch,
      .backward = backward,
      .plain = plain,
      .terms = linear_in({1}, {{0}}),
      .units = units_of_gains({1}),
      .traits = {.in_place = {{0, 0}}},
      .row_wise = [](const OpView&) { return true; },
      .kernels = {{.dtype = f32, .run = kernel<float>},
                  {.dtype = f64, .run = kernel<double>},
                  {.dtype = bf16, .run = kernel<bfloat16>, .workspace = wide_rows<bfloat16, 1>},
                  {.dtype = f16, .run = kernel<float16>, .workspace = wide_rows<float16, 1>}},
      .samples = {{{normal({3, 5}).batched(0), normal({5})}, eps(1e-6)},
                  {{normal({2, 3, 4}).batched(1), normal({4})}, eps(1e-3)},
                  {{normal({3, 5}).batched(0), absent()}, eps(1e-6)},
                  {{normal({7})}, eps(1e-6)},
                  {{normal({1, 1}), normal({1})}, eps(1e-3)},
                  {{sample::extremes({6, 9}), normal({9})}, eps(1e-6), false},
                  {{normal({70, 131}).batched(0), normal({131})}, eps(1e-6), false}},
      .bad_samples = {{{{i64, {3, 5}}}, eps(1e-6), "floating type"},
                      {{{f32, {}}}, eps(1e-6), "expected rows"},
                      {{{f32, {3, 5}}, {f32, {3}}}, eps(1e-6), "the weight must be [5]"},
                      {{{f32, {3, 5}}, {f64, {5}}}, eps(1e-6), "must be f32"}},
  };
  return op;
}

const OpDef& rms_norm_backward_op() {
  using sample::absent, sample::normal, sample::uniform;
  static const OpDef op{
      .name = "rms_norm_backward",
      .law = "d_x = onto + rstd (g - h mean(g h)), g = d_y weight, h = x rstd; d_weight = sum_rows d_y h",
      .outputs = {"d_x", "d_weight"},
      .least_inputs = 3,
      .most_inputs = 5,
      .infer = infer_backward,
      .batch = batch_backward,
      .plain = backward_plain,
      .terms = terms_are({{.output = 0, .factors = {0, 3}, .inner = {{1}, {2}}},
                          {.output = 0, .factors = {4}, .adds = 4},
                          {.output = 1, .factors = {0, 1, 2}}}),
      .wide_operands = {2},
      .traits = {.in_place = {{0, 4}}},
      .lowerings = {&fuse_addend()},
      .kernels = {{.dtype = f32, .run = backward_kernel<float>, .workspace = backward_workspace<float>},
                  {.dtype = f64, .run = backward_kernel<double>, .workspace = backward_workspace<double>},
                  {.dtype = bf16, .run = backward_kernel<bfloat16>, .workspace = backward_workspace<bfloat16>},
                  {.dtype = f16, .run = backward_kernel<float16>, .workspace = backward_workspace<float16>}},
      .samples = {{{normal({3, 5}).batched(0), normal({3, 5}).batched(0), uniform({3, 1}, 0.5, 2).batched(0),
                    normal({5})}},
                  {{normal({9, 2, 3}).batched(0), normal({9, 2, 3}).batched(0), uniform({9, 2, 1}, 0.5, 2).batched(0),
                    absent()}},
                  {{normal({4}), normal({4}), uniform({1}, 0.5, 2)}},
                  {{normal({300, 300}), normal({300, 300}), uniform({300, 1}, 0.5, 2), normal({300})}, {}, false},
                  {{normal({5, 7}).batched(0), normal({5, 7}).batched(0), uniform({5, 1}, 0.5, 2).batched(0),
                    normal({7}), normal({5, 7}, 0, 8).batched(0)}},
                  {{normal({90, 600}), normal({90, 600}), uniform({90, 1}, 0.5, 2), absent(), normal({90, 600}, 0, 8)},
                   {},
                   false}},
      .bad_samples = {{{{f32, {3, 4}}, {f32, {3, 5}}, {f32, {3, 1}}}, {}, "the cotangent must be [3, 5]"},
                      {{{f32, {3, 5}}, {f32, {3, 5}}, {f32, {3}}}, {}, "rstd must be [3, 1]"},
                      {{{f32, {3, 5}}, {f32, {3, 5}}, {f32, {3, 1}}, {f32, {5}}, {f32, {5}}},
                       {},
                       "onto must be [3, 5]"}},
      .addend = 4,
  };
  return op;
}

Values rms_norm_with_statistics(const Arg& x, const Arg& weight, RmsNormOptions options) {
  return build_all(rms_norm_op(), {x, weight}, eps(options.eps));
}
Value rms_norm(const Arg& x, const Arg& weight, RmsNormOptions options) {
  return rms_norm_with_statistics(x, weight, options).front();
}

Value group_norm(const Arg& x, std::int64_t groups, const GroupNormOptions& options) {
  const auto line = called_at({x});
  const Value& in = x.value();
  if (!in.valid()) return in;
  WEFT_CHECK(in.rank() >= 2, "group_norm ({}): expected x [N, C, ..], got {}", str(x.where()), in.shape().str());
  const Dim channels = in.dim(1);
  WEFT_CHECK(groups > 0 && channels.value() % groups == 0, "group_norm ({}): {} groups do not divide {} channels",
             str(x.where()), groups, channels.value());
  Dim inside = channels.value() / groups;
  Shape affine{channels};
  for (int axis = 2; axis < in.rank(); ++axis) {
    inside = inside * in.dim(axis);
    affine.push_back(1);
  }
  Value y =
      reshape(layer_norm(reshape(x, {in.dim(0), groups, inside}), Value{}, Value{}, {.eps = options.eps}), in.shape());
  if (!options.weight.absent()) y = y * reshape(options.weight, affine);
  if (!options.bias.absent()) y = y + reshape(options.bias, affine);
  return y;
}

void register_rms_norm() {
  registry().add(rms_norm_op());
  registry().add(rms_norm_backward_op());
}

}  // namespace weft
