#include <weft/ops/reduce/summary.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/reduce/reduce_kernel.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace weft {
namespace {

constexpr std::int64_t numbers = 5, block = 1024;

std::int64_t pieces_of(const OpView& view) { return (view.type(0).count() + reduce_piece - 1) / reduce_piece; }

// What is counted or is the largest of micro-batches is no sum of theirs.
std::vector<BatchState> batch(const OpView&, std::span<const BatchState> in) {
  return {in[0].kind == BatchState::Kind::free ? in[0] : BatchState::mixed()};
}

// The type in which elements are compared: exact for each of T.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

// |x| of up to `block` elements.
template <class T>
void magnitudes(const T* x, std::int64_t n, Wide<T>* size) {
  for (std::int64_t i = 0; i < n; ++i) size[i] = std::abs(static_cast<Wide<T>>(x[i]));
}

// --- summary ---

std::vector<TensorType> infer_summary(const OpView& view) {
  expect_float(view, 0);
  return {{f64, {numbers}}};
}

Values plain_summary(const Plain& node) {
  const Value x = cast(node.in[0], f64), one = ones(x.graph(), {}, f64);
  const Value largest = x.shape().count() == 0 ? one * 0.0 : max(abs(x));
  return {
      stack({sum(x * x), sum(x), largest, sum(cast(equal(x, 0.0), f64)), sum(cast(logical_not(isfinite(x)), f64))}, 0)};
}

// For fold_row: the numbers of one element, and of two parts together.
template <class T>
struct SummaryOf {
  struct Acc {
    double squares = 0, sum = 0, largest = 0, zeros = 0, bad = 0;
  };
  static Acc empty() { return {}; }
  static Acc map(T value) {
    const double x = Reducer<T>::map(value);
    return {x * x, x, std::abs(x), x == 0 ? 1.0 : 0.0, std::isfinite(x) ? 0.0 : 1.0};
  }
  static Acc combine(const Acc& a, const Acc& b) {
    const double largest = std::isnan(b.largest) || b.largest > a.largest ? b.largest : a.largest;
    return {a.squares + b.squares, a.sum + b.sum, largest, a.zeros + b.zeros, a.bad + b.bad};
  }
};

template <class T>
void summary_kernel(KernelContext& ctx) {
  using Of = SummaryOf<T>;
  const std::int64_t n = ctx.type(0).count(), pieces = pieces_of(ctx.view());
  const T* x = ctx.in<T>(0);
  auto* partial = reinterpret_cast<typename Of::Acc*>(ctx.workspace());
  parallel_for(pieces, [&](std::int64_t piece, int) {
    const std::int64_t begin = piece * reduce_piece;
    partial[piece] = fold_row<Of>(x + begin, std::min(reduce_piece, n - begin));
  });
  typename Of::Acc all;
  for (std::int64_t piece = 0; piece < pieces; ++piece) all = Of::combine(all, partial[piece]);
  const double y[numbers] = {all.squares, all.sum, all.largest, all.zeros, all.bad};
  std::copy_n(y, numbers, ctx.out<double>(0));
}

std::size_t summary_workspace(const OpView& view, int) {
  return static_cast<std::size_t>(pieces_of(view)) * sizeof(SummaryOf<double>::Acc);
}

// --- count_within ---

std::vector<TensorType> infer_count(const OpView& view) {
  expect_float(view, 0);
  const TensorType& bounds = view.type(1);
  WEFT_CHECK(bounds.dtype == f64 && bounds.shape.rank() == 1, "the bounds must be f64 [k], they are {}", bounds.str());
  return {bounds};
}

Values plain_count(const Plain& node) {
  const Value size = reshape(abs(cast(node.in[0], f64)), {1, node.in[0].shape().count()});
  const Value within = less_equal(size, reshape(node.in[1], {node.in[1].dim(0), 1}));
  return {where(isnan(node.in[1]), node.in[1], sum(cast(within, f64), {.axes = {1}}))};
}

// The largest number of the type that is at most `bound`.
template <class W>
W floor_in(double bound) {
  const auto nearest = static_cast<W>(bound);
  return static_cast<double>(nearest) > bound ? std::nextafter(nearest, -std::numeric_limits<W>::infinity()) : nearest;
}

template <class T>
void count_kernel(KernelContext& ctx) {
  const std::int64_t n = ctx.type(0).count(), k = ctx.type(1).count(), pieces = pieces_of(ctx.view());
  const T* x = ctx.in<T>(0);
  const double* bounds = ctx.in<double>(1);
  auto* partial = reinterpret_cast<std::int64_t*>(ctx.workspace());
  parallel_for(pieces, [&](std::int64_t piece, int) {
    std::int64_t* counts = partial + k * piece;
    std::fill_n(counts, k, std::int64_t{0});
    std::array<Wide<T>, block> size;
    for (std::int64_t begin = piece * reduce_piece, end = std::min(n, begin + reduce_piece); begin < end;
         begin += block) {
      const std::int64_t some = std::min(block, end - begin);
      magnitudes(x + begin, some, size.data());
      for (std::int64_t b = 0; b < k; ++b) {
        const auto bound = floor_in<Wide<T>>(bounds[b]);
        std::int32_t count = 0;
        for (std::int64_t i = 0; i < some; ++i) count += size[static_cast<std::size_t>(i)] <= bound ? 1 : 0;
        counts[b] += count;
      }
    }
  });
  double* y = ctx.out<double>(0);
  for (std::int64_t b = 0; b < k; ++b) {
    std::int64_t total = 0;
    for (std::int64_t piece = 0; piece < pieces; ++piece) total += partial[k * piece + b];
    y[b] = std::isnan(bounds[b]) ? bounds[b] : static_cast<double>(total);
  }
}

std::size_t count_workspace(const OpView& view, int) {
  return static_cast<std::size_t>(view.type(1).count() * pieces_of(view)) * sizeof(std::int64_t);
}

SampleInput bounds(std::vector<std::int64_t> extents) {
  return sample::uniform(std::move(extents), 0, 2).as(f64).constant();
}

}  // namespace

const OpDef& summary_op() {
  static const OpDef op{
      .name = "summary",
      .law = "y = sum of x^2, sum of x, max |x|, [x = 0] and [|x| = inf or x is NaN] counted, over all elements",
      .infer = infer_summary,
      .batch = batch,
      .plain = plain_summary,
      .traits = {.precision = Precision::f32},
      .kernels = {{.dtype = f32, .run = summary_kernel<float>, .workspace = summary_workspace},
                  {.dtype = f64, .run = summary_kernel<double>, .workspace = summary_workspace},
                  {.dtype = bf16, .run = summary_kernel<bfloat16>, .workspace = summary_workspace},
                  {.dtype = f16, .run = summary_kernel<float16>, .workspace = summary_workspace}},
      .samples = {{{sample::normal({3, 5}).batched(0)}},
                  {{sample::normal({})}},
                  {{sample::ties({4, 9}).constant()}},
                  {{sample::normal({100001})}, {}, false},
                  {{sample::extremes({4, 9})}, {}, false}},
      .bad_samples = {{{{i32, {2}}}, {}, "floating type"}},
  };
  return op;
}

const OpDef& count_within_op() {
  static const OpDef op{
      .name = "count_within",
      .law = "y[k] = how many |x| are at most bounds[k]; NaN for NaN",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = infer_count,
      .batch = batch,
      .plain = plain_count,
      .traits = {.precision = Precision::f32},
      .kernels = {{.dtype = f32, .run = count_kernel<float>, .workspace = count_workspace},
                  {.dtype = f64, .run = count_kernel<double>, .workspace = count_workspace},
                  {.dtype = bf16, .run = count_kernel<bfloat16>, .workspace = count_workspace},
                  {.dtype = f16, .run = count_kernel<float16>, .workspace = count_workspace}},
      .samples = {{{sample::normal({3, 5}).batched(0).constant(), bounds({4})}},
                  {{sample::normal({}).constant(), bounds({1})}},
                  {{sample::ties({4, 9}).constant(), bounds({3})}},
                  {{sample::normal({100001}), bounds({9})}, {}, false},
                  {{sample::extremes({4, 9}), bounds({2})}, {}, false}},
      .bad_samples = {{{{i32, {2}}, {f64, {3}}}, {}, "floating type"},
                      {{{f32, {2}}, {f32, {3}}}, {}, "the bounds must be f64 [k], they are f32[3]"},
                      {{{f32, {2}}, {f64, {3, 1}}}, {}, "the bounds must be f64 [k], they are f64[3, 1]"}},
  };
  return op;
}

Value summary(const Arg& x) { return build(summary_op(), {x}); }
Value count_within(const Arg& x, const Arg& bounds) { return build(count_within_op(), {x, bounds}); }

void register_summary() {
  for (const OpDef* op : {&summary_op(), &count_within_op()}) registry().add(*op);
}

}  // namespace weft
