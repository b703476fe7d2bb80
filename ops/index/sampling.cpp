#include <weft/ops/index/sampling.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/random.h>
#include <weft/runtime/wide.h>

#include <algorithm>
#include <limits>

namespace weft {
namespace {

std::vector<TensorType> infer(const OpView& view) {
  const std::vector<TensorType> types = shape_attribute(view);
  WEFT_CHECK(is_float(types.front().dtype), "expected a floating type, got {}", types.front().str());
  for (const Dim& dim : types.front().shape)
    WEFT_CHECK(dim.value() >= 0, "extents must not be negative, got {}", types.front().shape.str());
  return types;
}
std::vector<TensorType> infer_uniform(const OpView& view) {
  const double low = view.attributes.number("low"), high = view.attributes.number("high");
  WEFT_CHECK(low <= high, "low must not be above high, got {} and {}", low, high);
  return infer(view);
}
std::vector<TensorType> infer_normal(const OpView& view) {
  WEFT_CHECK(view.attributes.number("deviation") >= 0, "the deviation must not be negative, got {}",
             view.attributes.number("deviation"));
  return infer(view);
}

// Rows are counted over the full batch: examples keep their numbers where they lie outermost.
std::vector<BatchState> batch(const OpView& view, std::span<const BatchState> in) {
  const BatchState state = from_shape(view, in).front();
  if (!state.in_shape()) return {state};
  return {state.axis == 0 && state.outer == 1 && view.out_type(0).shape.rank() > 1 ? state : state.as_mixed()};
}

// y = from + by * drawn, at most `most`, row by row in blocks.
template <class T, class Draw>
void fill(KernelContext& context, double from, double by, double most, Draw draw) {
  using W = Wide<T>;
  const RandomState& random = context.random();
  const RandomKey key = random_key(random.seed, static_cast<std::uint32_t>(context.attributes().integer("stream")));
  const Shape& shape = context.out_type(0).shape;
  const std::int64_t n = shape.rank() == 0 ? 1 : shape.extent(-1);
  for_row_tiles(shape.count() / n, n, [&](std::int64_t begin, std::int64_t end, int) {
    constexpr std::int64_t block = 512;
    W drawn[block];
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t column = 0; column < n; column += block) {
        const std::int64_t count = std::min(block, n - column);
        draw(drawn, count, static_cast<std::uint32_t>(row + random.row_offset), key, random.runs,
             static_cast<std::uint32_t>(column));
        T* y = context.out<T>(0) + row * n + column;
        W* wide = wide_target(y, drawn);
        for (std::int64_t i = 0; i < count; ++i)
          wide[i] = std::min(static_cast<W>(from) + static_cast<W>(by) * drawn[i], static_cast<W>(most));
        store(wide, y, count);
      }
  });
}

constexpr auto uniforms = [](auto* y, auto... rest) { uniform_fill(y, rest...); };
constexpr auto normals = [](auto* y, auto... rest) { normal_fill(y, rest...); };

template <class T>
void uniform_kernel(KernelContext& context) {
  const double low = context.attributes().number("low"), high = context.attributes().number("high");
  // Rounding may reach the end that does not belong to the interval.
  fill<T>(context, low, high - low, low < high ? largest_below(dtype_of<T>, high) : high, uniforms);
}
template <class T>
void normal_kernel(KernelContext& context) {
  fill<T>(context, context.attributes().number("mean"), context.attributes().number("deviation"),
          std::numeric_limits<double>::infinity(), normals);
}

// Row by row, each in one piece, for seed 0 and the first run.
template <class W, class Draw>
std::vector<double> rows_of(const OpView& view, double from, double by, Draw draw) {
  const Shape& shape = view.out_type(0).shape;
  const std::int64_t n = shape.rank() == 0 ? 1 : shape.extent(-1);
  const RandomKey key = random_key(0, static_cast<std::uint32_t>(view.attributes.integer("stream")));
  std::vector<double> y;
  std::vector<W> row(static_cast<std::size_t>(n));
  for (std::uint32_t r = 0; static_cast<std::int64_t>(y.size()) < shape.count(); ++r) {
    draw(row.data(), n, r, key, std::uint64_t{0}, std::uint32_t{0});
    for (const W drawn : row) y.push_back(from + by * static_cast<double>(drawn));
  }
  return y;
}
template <class Draw>
std::vector<double> rows_of_type(const OpView& view, double from, double by, Draw draw) {
  return view.out_type(0).dtype == f64 ? rows_of<double>(view, from, by, draw) : rows_of<float>(view, from, by, draw);
}

OpDef drawn(std::string name, std::string law, InferRule rule, ReferenceRule reference, std::vector<Kernel> kernels,
            std::vector<Sample> samples, std::vector<BadSample> bad) {
  return {.name = std::move(name),
          .law = std::move(law),
          .source = "Salmon et al., SC 2011 (Philox4x32-10)",
          .least_inputs = 0,
          .most_inputs = 0,
          .infer = std::move(rule),
          .batch = batch,
          .backward = [](Backward&) {},
          .reference = std::move(reference),
          .traits = {.random = true},
          .kernels = std::move(kernels),
          .samples = std::move(samples),
          .bad_samples = std::move(bad)};
}

Attributes between(DType dtype, Shape shape, double low, double high, std::int64_t stream) {
  return {{"dtype", dtype}, {"shape", std::move(shape)}, {"low", low}, {"high", high}, {"stream", stream}};
}
Attributes around(DType dtype, Shape shape, double mean, double deviation, std::int64_t stream) {
  return {{"dtype", dtype}, {"shape", std::move(shape)}, {"mean", mean}, {"deviation", deviation}, {"stream", stream}};
}

template <class Make>
std::vector<Sample> samples(Make make) {
  return {{{}, make(f32, Shape{Dim::named("batch", 4), 5}, 0, 1, 1), false},
          {{}, make(f64, Shape{Dim::named("batch", 3), 2, 7}, -1, 2, 2), false},
          {{}, make(bf16, Shape{3, 1030}, 0, 1, 3), false},
          {{}, make(f16, Shape{}, 0, 1, 4), false},
          {{}, make(f32, Shape{40, 1030}, 0, 1, 5), false},
          {{}, make(f32, Shape{6}, 0, 1, 6), false},
          {{}, make(f32, Shape{3, 4}, 1000, 1001, 7), false}};
}

}  // namespace

const OpDef& uniform_op() {
  static const OpDef op = [] {
    OpDef made = drawn(
        "uniform", "y ~ U[low, high)", infer_uniform,
        [](const OpView& view, std::span<const std::vector<double>>) {
          const double low = view.attributes.number("low");
          return rows_of_type(view, low, view.attributes.number("high") - low, uniforms);
        },
        {{.dtype = f32, .run = uniform_kernel<float>},
         {.dtype = f64, .run = uniform_kernel<double>},
         {.dtype = bf16, .run = uniform_kernel<bfloat16>},
         {.dtype = f16, .run = uniform_kernel<float16>}},
        samples(between),
        {{{}, between(i64, {3}, 0, 1, 1), "floating type"}, {{}, between(f32, {3}, 2, 1, 1), "must not be above"}});
    made.range = [](const OpView& view) {
      return Interval{view.attributes.number("low"), view.attributes.number("high")};
    };
    return made;
  }();
  return op;
}

const OpDef& normal_op() {
  static const OpDef op = drawn(
      "normal", "y ~ N(mean, deviation^2)", infer_normal,
      [](const OpView& view, std::span<const std::vector<double>>) {
        return rows_of_type(view, view.attributes.number("mean"), view.attributes.number("deviation"), normals);
      },
      {{.dtype = f32, .run = normal_kernel<float>},
       {.dtype = f64, .run = normal_kernel<double>},
       {.dtype = bf16, .run = normal_kernel<bfloat16>},
       {.dtype = f16, .run = normal_kernel<float16>}},
      samples(around),
      {{{}, around(i64, {3}, 0, 1, 1), "floating type"}, {{}, around(f32, {3}, 0, -1, 1), "must not be negative"}});
  return op;
}

Value uniform(Graph graph, Shape shape, double low, double high, DType dtype, std::source_location where) {
  const std::int64_t stream = graph.next_id();
  return graph.apply(uniform_op(), {}, between(dtype, std::move(shape), low, high, stream), where).front();
}
Value normal(Graph graph, Shape shape, double mean, double deviation, DType dtype, std::source_location where) {
  const std::int64_t stream = graph.next_id();
  return graph.apply(normal_op(), {}, around(dtype, std::move(shape), mean, deviation, stream), where).front();
}

Value bernoulli(const Arg& p) {
  const auto line = called_at({p});
  const Value& x = p.value();
  if (!x.valid()) return x;
  // Drawn in f32 at least: bf16 has too few numbers below 1.
  const DType dtype = wide(x.dtype());
  const Value drawn = uniform(x.graph(), x.shape(), 0, 1, dtype, p.where());
  return cast(less(drawn, cast(x, dtype)), x.dtype());
}

void register_sampling() {
  registry().add(uniform_op());
  registry().add(normal_op());
}

}  // namespace weft
