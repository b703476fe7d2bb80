#include <weft/ops/norm/layer_norm.h>

#include <weft/graph/registry.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/wide.h>

#include <cmath>
#include <numeric>

namespace weft {
namespace {

int axes_of(const Attributes& attributes) { return static_cast<int>(attributes.integer("axes")); }

Shape last_axes(const Shape& shape, int axes) { return Shape(std::vector<Dim>(shape.end() - axes, shape.end())); }

// The normalised axes as axis numbers from the end: -axes, ..., -1.
std::vector<std::int64_t> normalised(int axes) {
  std::vector<std::int64_t> list(static_cast<std::size_t>(axes));
  std::iota(list.begin(), list.end(), -axes);
  return list;
}

// The operand as rows of n elements.
struct Rows {
  std::int64_t rows, n;
  explicit Rows(const OpView& view, int operand = 0) {
    const Shape& shape = view.shape(operand);
    const int split = shape.rank() - axes_of(view.attributes);
    rows = extent_product(shape, 0, split);
    n = extent_product(shape, split, shape.rank());
  }
};

// weight and bias in f32, then `rows_a_thread` rows of f32 a thread; nothing for types that are not converted.
template <class T, int rows_a_thread>
std::size_t wide_rows(const OpView& view, int threads) {
  if constexpr (!is_narrow<T>) return 0;
  else return static_cast<std::size_t>((2 + threads * rows_a_thread) * Rows(view).n) * sizeof(float);
}

// --- layer_norm: h = (x - mean) rstd, y = h weight + bias; x [.., n], weight and bias [n], mean and rstd [.., 1] ---

void expect_normalised(const OpView& view, int i, const Shape& shape, std::string_view what) {
  if (!view.has(i)) return;
  expect_shape(view, i, shape, what);
  expect_dtype(view, i, view.type(0).dtype);
}

Shape statistics_shape(const Shape& x, int axes) {
  Shape shape = x;
  for (int axis = shape.rank() - axes; axis < shape.rank(); ++axis) shape[axis] = 1;
  return shape;
}

std::vector<TensorType> layer_norm_infer(const OpView& view) {
  expect_float(view, 0);
  const int axes = axes_of(view.attributes);
  const Shape& x = view.shape(0);
  WEFT_CHECK(1 <= axes && axes <= x.rank(), "axes must be in 1 to {}, the rank of {}; got {}", x.rank(), x.str(), axes);
  expect_normalised(view, 1, last_axes(x, axes), "the weight");
  expect_normalised(view, 2, last_axes(x, axes), "the bias");
  const TensorType statistics{wide(view.type(0).dtype), statistics_shape(x, axes)};
  return {view.type(0), statistics, statistics};
}

// Rows are independent.
std::vector<BatchState> layer_norm_batch(const OpView& view, std::span<const BatchState> in) {
  const BatchState state = same_axis(view, in).front();
  const bool inside = state.axis >= view.shape(0).rank() - axes_of(view.attributes);
  if (!inside) return {state, state, state};
  return {state.as_mixed(), BatchState::mixed(), BatchState::mixed()};
}

template <class T>
void layer_norm_kernel(KernelContext& context) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  const Rows shape(context.view());
  const std::int64_t n = shape.n;
  const W eps = static_cast<W>(context.attributes().number("eps"));
  W* buffers = reinterpret_cast<W*>(context.workspace());
  const W* weight = context.has(1) ? widened(context.in<T>(1), buffers, n) : nullptr;
  const W* bias = context.has(2) ? widened(context.in<T>(2), buffers + n, n) : nullptr;
  for_row_tiles(shape.rows, n, [&](std::int64_t begin, std::int64_t end, int slot) {
    W* buffer = is_narrow<T> ? buffers + (2 + slot) * n : nullptr;
    for (std::int64_t row = begin; row < end; ++row) {
      const W* x = widened(context.in<T>(0) + row * n, buffer, n);
      const W mean = v.sum(x, n) / static_cast<W>(n);
      const W rstd = reciprocal_deviation(x, mean, n, eps);
      W* y = wide_target(context.out<T>(0) + row * n, buffer);
      v.normalize(x, mean, rstd, weight, bias, y, n);
      store(y, context.out<T>(0) + row * n, n);
      context.out<W>(1)[row] = mean;
      context.out<W>(2)[row] = rstd;
    }
  });
}

Values layer_norm_plain(const Plain& p) {
  const DType dtype = p.in[0].dtype();
  const std::vector<std::int64_t> axes = normalised(axes_of(p.attributes));
  const Value x = cast(p.in[0], wide(dtype));
  const Value m = mean(x, {.axes = axes, .keep = true});
  const Value rstd = rsqrt(mean(square(x - m), {.axes = axes, .keep = true}) + p.attributes.number("eps"));
  Value y = (x - m) * rstd;
  if (!p.in[1].absent()) y = y * cast(p.in[1], wide(dtype));
  if (!p.in[2].absent()) y = y + cast(p.in[2], wide(dtype));
  return {cast(y, dtype), m, rstd};
}

// Operands that are at the end and absent are left out or given as absent values: both are the same.
Value operand(const Backward& b, int i) { return i < b.inputs() ? b.in(i) : Value{}; }

// What flows into the statistics: d_x = d_mean / n - d_rstd rstd^3 (x - mean) / n
Value through_statistics(Backward& b) {
  const DType dtype = b.in(0).dtype();
  const double n = static_cast<double>(b.in(0).shape().count()) / static_cast<double>(b.out(1).shape().count());
  const Value x = cast(b.in(0), wide(dtype)), &rstd = b.out(2);
  const Value shifted = (x - b.out(1)) * (b.cotangent(2) * rstd * rstd * rstd);
  return cast((b.cotangent(1) - shifted) * (1 / n), dtype);
}

void layer_norm_gradient(Backward& b) {
  Value d_x;
  if (b.has_cotangent(0)) {
    const Values d = build_all(layer_norm_backward_op(), {b.cotangent(0), b.in(0), b.out(1), b.out(2), operand(b, 1)},
                               {{"axes", b.attributes().integer("axes")}});
    d_x = d[0];
    b.input(1, d[1]);
    b.input(2, d[2]);
  }
  if (b.wants(0) && (b.has_cotangent(1) || b.has_cotangent(2))) {
    const Value more = through_statistics(b);
    d_x = d_x.valid() ? d_x + more : more;
  }
  if (d_x.valid()) b.input(0, d_x);
}

// --- layer_norm_backward(d_y, x, mean, rstd, weight, onto): with h = (x - mean) rstd and g = d_y weight
//     d_x = onto + rstd (g - mean(g) - h mean(g h)), d_weight = sum_rows d_y h, d_bias = sum_rows d_y ---

std::vector<TensorType> layer_norm_backward_infer(const OpView& view) {
  const int axes = axes_of(view.attributes);
  const Shape& x = view.shape(1);
  expect_float(view, 1);
  expect_shape(view, 0, x, "the cotangent");
  expect_dtype(view, 0, view.type(1).dtype);
  for (int i : {2, 3}) {
    expect_shape(view, i, statistics_shape(x, axes), i == 2 ? "the mean" : "rstd");
    expect_dtype(view, i, wide(view.type(1).dtype));
  }
  const TensorType parameter{view.type(1).dtype, last_axes(x, axes)};
  if (view.has(4)) expect_shape(view, 4, parameter.shape, "the weight");
  if (view.has(5)) {
    expect_shape(view, 5, x, "onto");
    expect_dtype(view, 5, view.type(1).dtype);
  }
  return {view.type(1), parameter, parameter};
}

std::vector<BatchState> layer_norm_backward_batch(const OpView& view, std::span<const BatchState> in) {
  const BatchState rows = same_axis(view, in).front();
  const bool apart =
      rows.kind == BatchState::Kind::split && rows.axis < view.shape(1).rank() - axes_of(view.attributes);
  // Sums of products of d_y and x: both must be of the same example.
  const bool sums = apart && in[0] == rows && in[1] == rows;
  if (rows.kind == BatchState::Kind::free) return std::vector<BatchState>(3);
  const BatchState parameters = sums ? BatchState::summed() : BatchState::mixed();
  const bool added = !view.has(5) || in[5] == rows;
  return {apart && added ? rows : rows.as_mixed(), parameters, parameters};
}

// Parameter gradients are summed in blocks of rows, their number fixed by the shape; then the blocks in a fixed tree.
std::int64_t block_rows(std::int64_t rows) { return std::max<std::int64_t>(8, (rows + 31) / 32); }
std::int64_t blocks_of(std::int64_t rows) {
  return std::max<std::int64_t>(1, (rows + block_rows(rows) - 1) / block_rows(rows));
}

template <class T>
std::size_t layer_norm_backward_workspace(const OpView& view, int threads) {
  const Rows shape(view);
  const std::int64_t rows = 2 * blocks_of(shape.rows) + (view.has(5) ? threads : 0);
  return static_cast<std::size_t>(rows * shape.n) * sizeof(Wide<T>) + wide_rows<T, 2>(view, threads);
}

// total[0] += total[1] + ... over `count` rows that lie n apart, as a balanced tree; of columns [first, first + m).
template <class W>
void sum_tree(W* rows, std::int64_t count, std::int64_t n, std::int64_t first, std::int64_t m) {
  for (std::int64_t step = 1; step < count; step *= 2)
    for (std::int64_t i = 0; i + step < count; i += 2 * step) {
      W* total = rows + i * n + first;
      simd<W>().add(total, rows + (i + step) * n + first, total, m);
    }
}

template <class T>
void layer_norm_backward_kernel(KernelContext& context) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  const Rows shape(context.view());
  const std::int64_t n = shape.n, step = block_rows(shape.rows), blocks = blocks_of(shape.rows);
  W* d_weight = reinterpret_cast<W*>(context.workspace());
  W* d_bias = d_weight + blocks * n;
  const T* onto = context.has(5) ? context.in<T>(5) : nullptr;
  W* sums = d_bias + blocks * n;  // a row of d_x for each thread, where it is added to something
  W* buffers = sums + (onto != nullptr ? threads() * n : 0);
  const W* weight = context.has(4) ? widened(context.in<T>(4), buffers, n) : nullptr;
  const W *mean = context.in<W>(2), *rstd = context.in<W>(3);

  parallel_for(blocks, [&](std::int64_t block, int slot) {
    W* buffer = is_narrow<T> ? buffers + (2 + 2 * slot) * n : nullptr;
    std::fill_n(d_weight + block * n, n, W(0));
    std::fill_n(d_bias + block * n, n, W(0));
    for (std::int64_t row = block * step; row < std::min(shape.rows, (block + 1) * step); ++row) {
      const W* d_y = widened(context.in<T>(0) + row * n, buffer, n);
      const W* x = widened(context.in<T>(1) + row * n, is_narrow<T> ? buffer + n : nullptr, n);
      v.normalize_param_grad(x, d_y, mean[row], rstd[row], d_weight + block * n, d_bias + block * n, n);
      T* out = context.out<T>(0) + row * n;
      W* d_x = onto != nullptr ? sums + slot * n : wide_target(out, buffer);
      v.normalize_grad(x, d_y, mean[row], rstd[row], weight, d_x, n);
      if (onto != nullptr) add_rounded(onto + row * n, d_x, out, n);
      else store(d_x, out, n);
    }
  });
  const std::int64_t pieces = (n + 255) / 256;
  parallel_for(2 * pieces, [&](std::int64_t tile, int) {
    const std::int64_t k = tile / pieces, first = tile % pieces * 256, count = std::min<std::int64_t>(256, n - first);
    W* parts = d_weight + k * blocks * n;
    sum_tree(parts, blocks, n, first, count);
    T* out = context.out<T>(static_cast<int>(k) + 1) + first;
    if constexpr (is_narrow<T>) store(parts + first, out, count);
    else std::copy_n(parts + first, count, out);
  });
}

Values layer_norm_backward_plain(const Plain& p) {
  const DType dtype = p.in[1].dtype();
  const int axes = axes_of(p.attributes);
  const std::vector<std::int64_t> last = normalised(axes);
  const Value d_y = cast(p.in[0], wide(dtype)), x = cast(p.in[1], wide(dtype)), &m = p.in[2], &rstd = p.in[3];
  const Value h = (x - m) * rstd;
  const bool weighted = p.in.size() > 4 && !p.in[4].absent();
  const Value g = weighted ? d_y * cast(p.in[4], wide(dtype)) : d_y;
  const Value d_x = rstd * (g - mean(g, {.axes = last, .keep = true}) - h * mean(g * h, {.axes = last, .keep = true}));
  const Shape parameter = last_axes(x.shape(), axes);
  const bool added = p.in.size() > 5 && !p.in[5].absent();
  return {added ? p.in[5] + cast(d_x, dtype) : cast(d_x, dtype), cast(sum_to(d_y * h, parameter), dtype),
          cast(sum_to(d_y, parameter), dtype)};
}

Attributes options_of(std::int64_t axes, double eps) { return {{"axes", axes}, {"eps", eps}}; }
Attributes backward_options(std::int64_t axes) { return {{"axes", axes}}; }

}  // namespace

const OpDef& layer_norm_op() {
  using sample::absent, sample::normal;
  static const OpDef op{
      .name = "layer_norm",
      .law = "y = (x - mean) rstd weight + bias, rstd = 1 / sqrt(variance + eps), over the last `axes` axes",
      .source = "Ba, Kiros and Hinton 2016, arXiv:1607.06450, section 3",
      .outputs = {"y", "mean", "rstd"},
      .least_inputs = 1,
      .most_inputs = 3,
      .infer = layer_norm_infer,
      .batch = layer_norm_batch,
      .backward = layer_norm_gradient,
      .plain = layer_norm_plain,
      .terms = terms_are({{.factors = {1}, .inner = {{0}}}, {.factors = {2}}, {.output = 1, .factors = {0}}}),
      .offsets_cost = {0},  // the mean is rounded, and x - mean with it, as in PyTorch
      .units = units_of_gains({1, 2}),
      .traits = {.in_place = {{0, 0}}},
      .row_wise = [](const OpView& view) { return axes_of(view.attributes) == 1; },
      .kernels = {{.dtype = f32, .run = layer_norm_kernel<float>},
                  {.dtype = f64, .run = layer_norm_kernel<double>},
                  {.dtype = bf16, .run = layer_norm_kernel<bfloat16>, .workspace = wide_rows<bfloat16, 1>},
                  {.dtype = f16, .run = layer_norm_kernel<float16>, .workspace = wide_rows<float16, 1>}},
      .samples = {{{normal({3, 5}).batched(0), normal({5}), normal({5})}, options_of(1, 1e-5)},
                  {{normal({2, 3, 4}).batched(1), normal({4}), absent()}, options_of(1, 1e-3)},
                  {{normal({3, 2, 4}).batched(0), normal({2, 4}), normal({2, 4})}, options_of(2, 1e-3)},
                  {{normal({3, 5}).batched(0), absent(), normal({5})}, options_of(1, 1e-5)},
                  {{normal({7}), absent(), absent()}, options_of(1, 1e-5)},
                  {{normal({70, 131}).batched(0), normal({131}), normal({131})}, options_of(1, 1e-5), false},
                  {{sample::extremes({18, 2}), normal({2}), normal({2})}, options_of(1, 1e-5), false}},
      .bad_samples = {{{{i64, {3, 5}}}, options_of(1, 1e-5), "floating type"},
                      {{{f32, {3, 5}}}, options_of(3, 1e-5), "axes must be in 1 to 2"},
                      {{{f32, {3, 5}}, {f32, {3}}}, options_of(1, 1e-5), "the weight must be [5]"},
                      {{{f32, {3, 5}}, {f32, {5}}, {f32, {4}}}, options_of(1, 1e-5), "the bias must be [5]"},
                      {{{f32, {3, 5}}, {f64, {5}}}, options_of(1, 1e-5), "must be f32"}},
  };
  return op;
}

const OpDef& layer_norm_backward_op() {
  using sample::absent, sample::normal, sample::uniform;
  static const OpDef op{
      .name = "layer_norm_backward",
      .law =
          "d_x = onto + rstd (g - mean(g) - h mean(g h)), g = d_y weight, h = (x - mean) rstd; "
          "d_weight = sum_rows d_y h, d_bias = sum_rows d_y",
      .outputs = {"d_x", "d_weight", "d_bias"},
      .least_inputs = 4,
      .most_inputs = 6,
      .infer = layer_norm_backward_infer,
      .batch = layer_norm_backward_batch,
      .plain = layer_norm_backward_plain,
      .terms = terms_are({{.output = 0, .factors = {0, 4}, .inner = {{1}, {2}, {3}}},
                          {.output = 0, .factors = {5}, .adds = 5},
                          {.output = 1, .factors = {0, 3}, .inner = {{1}, {2}}},
                          {.output = 2, .factors = {0}, .adds = 0}}),
      .wide_operands = {2, 3},
      .traits = {.in_place = {{0, 5}}},
      .lowerings = {&fuse_addend()},
      .kernels = {{.dtype = f32,
                   .run = layer_norm_backward_kernel<float>,
                   .workspace = layer_norm_backward_workspace<float>},
                  {.dtype = f64,
                   .run = layer_norm_backward_kernel<double>,
                   .workspace = layer_norm_backward_workspace<double>},
                  {.dtype = bf16,
                   .run = layer_norm_backward_kernel<bfloat16>,
                   .workspace = layer_norm_backward_workspace<bfloat16>},
                  {.dtype = f16,
                   .run = layer_norm_backward_kernel<float16>,
                   .workspace = layer_norm_backward_workspace<float16>}},
      .samples = {{{normal({3, 5}).batched(0), normal({3, 5}).batched(0), normal({3, 1}).batched(0),
                    uniform({3, 1}, 0.5, 2).batched(0), normal({5})},
                   backward_options(1)},
                  {{normal({9, 2, 3}).batched(0), normal({9, 2, 3}).batched(0), normal({9, 1, 1}).batched(0),
                    uniform({9, 1, 1}, 0.5, 2).batched(0), normal({2, 3})},
                   backward_options(2)},
                  {{normal({2, 4}).batched(0), normal({2, 4}).batched(0), normal({2, 1}).batched(0),
                    uniform({2, 1}, 0.5, 2).batched(0), absent()},
                   backward_options(1)},
                  {{normal({300, 300}).batched(0), normal({300, 300}).batched(0), normal({300, 1}).batched(0),
                    uniform({300, 1}, 0.5, 2).batched(0), normal({300})},
                   backward_options(1),
                   false},
                  {{normal({3, 5}).batched(0), normal({3, 5}).batched(0), normal({3, 1}).batched(0),
                    uniform({3, 1}, 0.5, 2).batched(0), normal({5}), normal({3, 5}, 0, 8).batched(0)},
                   backward_options(1)},
                  {{normal({90, 600}).batched(0), normal({90, 600}).batched(0), normal({90, 1}).batched(0),
                    uniform({90, 1}, 0.5, 2).batched(0), absent(), normal({90, 600}, 0, 8).batched(0)},
                   backward_options(1),
                   false}},
      .bad_samples = {{{{f32, {3, 4}}, {f32, {3, 5}}, {f32, {3, 1}}, {f32, {3, 1}}},
                       backward_options(1),
                       "the cotangent must be [3, 5]"},
                      {{{f32, {3, 5}}, {f32, {3, 5}}, {f32, {3}}, {f32, {3, 1}}},
                       backward_options(1),
                       "the mean must be [3, 1]"},
                      {{{f32, {3, 5}}, {f32, {3, 5}}, {f32, {3, 1}}, {f32, {3, 1}}, {f32, {5}}, {f32, {5}}},
                       backward_options(1),
                       "onto must be [3, 5]"}},
      .addend = 5,
  };
  return op;
}

Values layer_norm_with_statistics(const Arg& x, const Arg& weight, const Arg& bias, LayerNormOptions options) {
  return build_all(layer_norm_op(), {x, weight, bias}, options_of(options.axes, options.eps));
}
Value layer_norm(const Arg& x, const Arg& weight, const Arg& bias, LayerNormOptions options) {
  return layer_norm_with_statistics(x, weight, bias, options).front();
}

void register_layer_norm() {
  registry().add(layer_norm_op());
  registry().add(layer_norm_backward_op());
}

}  // namespace weft
