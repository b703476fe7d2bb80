#include <weft/ops/pointwise/dropout.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/random.h>

#include <algorithm>

namespace weft {
namespace {

// --- y = x keep / (1 - p), and d_x = d_y keep / (1 - p) with the same stream: the op is its own backward ---

std::vector<TensorType> dropout_infer(const OpView& view) {
  expect_float(view, 0);
  const double p = view.attributes.number("p");
  WEFT_CHECK(0 <= p && p < 1, "the probability p must be in [0, 1), got {}", p);
  return {view.type(0)};
}

// Rows are counted over the full batch: examples keep their masks where they lie outermost.
std::vector<BatchState> dropout_batch(const OpView& view, std::span<const BatchState> in) {
  const BatchState& state = in[0];
  if (state.kind == BatchState::Kind::free) return {state};
  const bool outermost = state.axis == 0 && state.outer == 1 && view.shape(0).rank() > 1;
  return {state.kind == BatchState::Kind::split && outermost ? state : state.as_mixed()};
}

template <class T>
void dropout_kernel(KernelContext& context) {
  using W = Wide<T>;
  const double p = context.attributes().number("p");
  const W scale = static_cast<W>(1 / (1 - p));
  const RandomState& random = context.random();
  const RandomKey key = random_key(random.seed, static_cast<std::uint32_t>(context.attributes().integer("stream")));
  const Shape& shape = context.type(0).shape;
  const std::int64_t n = shape.rank() == 0 ? 1 : shape.extent(-1);
  for_row_tiles(shape.count() / std::max<std::int64_t>(1, n), n, [&](std::int64_t begin, std::int64_t end, int) {
    constexpr std::int64_t block = 512;
    W keep[block], buffer[block];
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t column = 0; column < n; column += block) {
        const std::int64_t at = row * n + column, count = std::min(block, n - column);
        keep_scale_fill(keep, p, scale, count, static_cast<std::uint32_t>(row + random.row_offset), key, random.runs,
                        static_cast<std::uint32_t>(column));
        W* y = wide_target(context.out<T>(0) + at, buffer);
        simd<W>().multiply(widened(context.in<T>(0) + at, buffer, count), keep, y, count);
        store(y, context.out<T>(0) + at, count);
      }
  });
}

// Row by row, each in one piece, for seed 0 and the first run.
std::vector<double> dropout_reference(const OpView& view, std::span<const std::vector<double>> in) {
  const double p = view.attributes.number("p");
  const RandomKey key = random_key(0, static_cast<std::uint32_t>(view.attributes.integer("stream")));
  const auto n = static_cast<std::size_t>(view.shape(0).rank() == 0 ? 1 : view.shape(0).extent(-1));
  std::vector<std::uint32_t> words(n);
  std::vector<double> y;
  for (std::size_t i = 0; i < in[0].size(); ++i) {
    if (i % n == 0) philox_fill(words.data(), static_cast<std::int64_t>(n), static_cast<std::uint32_t>(i / n), key, 0);
    y.push_back(in[0][i] * (words[i % n] >= drop_threshold(p) ? 1 / (1 - p) : 0));
  }
  return y;
}

Attributes stream(double p, std::int64_t id) { return {{"p", p}, {"stream", id}}; }

}  // namespace

const OpDef& dropout_op() {
  static const OpDef op{
      .name = "dropout",
      .law = "y = x keep / (1 - p), keep ~ Bernoulli(1 - p)",
      .source = "Srivastava et al., JMLR 15, 2014, section 4",
      .infer = dropout_infer,
      .batch = dropout_batch,
      .backward = [](Backward& b) { b.input(0, build(dropout_op(), {b.cotangent(0)}, b.attributes())); },
      .reference = dropout_reference,
      .evaluation = [](const Plain& p) { return Values(p.in[0]); },
      .terms = linear_in({0}),
      .traits = {.random = true, .in_place = {{0, 0}}},
      .row_wise = [](const OpView& view) { return view.shape(0).rank() > 0; },
      .kernels = {{.dtype = f32, .run = dropout_kernel<float>},
                  {.dtype = f64, .run = dropout_kernel<double>},
                  {.dtype = bf16, .run = dropout_kernel<bfloat16>},
                  {.dtype = f16, .run = dropout_kernel<float16>}},
      .samples = {{{sample::normal({3, 5}).batched(0)}, stream(0.3, 1)},
                  {{sample::normal({4, 2, 7}).batched(0)}, stream(0.5, 2)},
                  {{sample::normal({6})}, stream(0.5, 3)},
                  {{sample::normal({})}, stream(0.5, 4)},
                  {{sample::normal({3, 4})}, stream(0, 5)},
                  {{sample::normal({40, 1030}).batched(0)}, stream(0.9, 6), false},
                  {{sample::extremes({4, 9})}, stream(0.5, 1), false}},
      .bad_samples = {{{{i64, {3}}}, stream(0.5, 1), "floating type"},
                      {{{f32, {3}}}, stream(1, 1), "must be in [0, 1)"},
                      {{{f32, {3}}}, stream(-0.1, 1), "must be in [0, 1)"}},
  };
  return op;
}

Value dropout(const Arg& x, double p) {
  if (p == 0 && x.value().valid()) return x.value();
  return build(dropout_op(), {x}, stream(p, graph_of({x}).next_id()));
}

void register_dropout() { registry().add(dropout_op()); }

}  // namespace weft
