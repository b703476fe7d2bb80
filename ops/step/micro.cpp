#include <weft/ops/step/micro.h>

#include <weft/graph/at_batch.h>
#include <weft/graph/registry.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/runtime/kernel.h>

#include <algorithm>
#include <cstring>

namespace weft {

DType accumulator_dtype(DType dtype) { return is_narrow_type(dtype) ? f32 : dtype; }

namespace {

// --- parts along the batch: whole = [before * outer][count * n][inner * after], the part of a micro-batch has n
// -----------

BatchState place_of(const OpView& view) {
  const Attributes& a = view.attributes;
  return BatchState::split_at(static_cast<int>(a.integer("axis")), a.integer("outer"), a.integer("inner"));
}

// The batch's axis with `part` examples where there were `whole`; its name stays where it has one.
Shape with_examples(const OpView& view, const BatchState& place, std::int64_t from, std::int64_t to) {
  static const Symbol batch(batch_name);
  Shape shape = view.shape(0);
  Dim& dim = shape[place.axis];
  dim = dim.has(batch) ? dim.with(batch, to) : Dim(dim.value() / from * to);
  return shape;
}

std::int64_t expect_place(const OpView& view, const BatchState& place) {
  const Shape& shape = view.shape(0);
  const std::int64_t rest = place.outer * place.inner;
  WEFT_CHECK(0 <= place.axis && place.axis < shape.rank() && rest > 0 && shape.extent(place.axis) % rest == 0,
             "there is no batch at axis {} ({} x batch x {}) of {}", place.axis, place.outer, place.inner, shape.str());
  WEFT_CHECK(view.attributes.integer("count") > 0, "the number of micro-batches must be positive, got {}",
             view.attributes.integer("count"));
  return shape.extent(place.axis) / rest;
}

std::vector<TensorType> infer_slice(const OpView& view) {
  const BatchState place = place_of(view);
  const std::int64_t n = expect_place(view, place), count = view.attributes.integer("count");
  WEFT_CHECK(n % count == 0, "{} micro-batches do not divide the batch of {} in {}", count, n, view.shape(0).str());
  return {{view.type(0).dtype, n == 0 ? view.shape(0) : with_examples(view, place, n, n / count)}};
}

std::vector<TensorType> infer_stack(const OpView& view) {
  const BatchState place = place_of(view);
  const std::int64_t n = expect_place(view, place), count = view.attributes.integer("count");
  return {{view.type(0).dtype, n == 0 ? view.shape(0) : with_examples(view, place, n, n * count)}};
}

std::vector<BatchState> batch_part(const OpView& view, std::span<const BatchState> in) {
  if (in[0].kind == BatchState::Kind::free) return {in[0]};
  const BatchState place = place_of(view);
  return {in[0] == place ? place : in[0].as_mixed()};
}

// Bytes of one example's place and everything after it, and how often that comes.
struct Parts {
  std::int64_t rows, part, whole;  ///< bytes of a row in the part and in the whole

  Parts(const TensorType& small, const TensorType& large, const BatchState& place) {
    rows = place.outer;
    for (int axis = 0; axis < place.axis; ++axis) rows *= small.shape.extent(axis);
    part = rows == 0 ? 0 : static_cast<std::int64_t>(small.bytes()) / rows;
    whole = rows == 0 ? 0 : static_cast<std::int64_t>(large.bytes()) / rows;
  }

  // body(bytes into the part, bytes into the whole, bytes) for pieces cut by shape.
  template <class F>
  void each(std::int64_t index, F&& body) const {
    constexpr std::int64_t piece = 1 << 16;
    const std::int64_t pieces = (part + piece - 1) / piece;
    parallel_for(rows * pieces, [&](std::int64_t task, int) {
      const std::int64_t row = task / pieces, begin = task % pieces * piece;
      body(row * part + begin, row * whole + index * part + begin, std::min(piece, part - begin));
    });
  }
};

std::int64_t running(const KernelContext& ctx) {
  WEFT_INVARIANT(ctx.micro().count == ctx.attributes().integer("count"), "{} of {} micro-batches in a run of {}",
                 ctx.view().op.name, ctx.attributes().integer("count"), ctx.micro().count);
  return ctx.micro().index;
}

void slice_kernel(KernelContext& ctx) {
  Parts(ctx.out_type(0), ctx.type(0), place_of(ctx.view())).each(running(ctx), [&](auto part, auto whole, auto bytes) {
    std::memcpy(ctx.out_bytes(0) + part, ctx.in_bytes(0) + whole, static_cast<std::size_t>(bytes));
  });
}

void stack_kernel(KernelContext& ctx) {
  Parts(ctx.type(0), ctx.out_type(0), place_of(ctx.view())).each(running(ctx), [&](auto part, auto whole, auto bytes) {
    std::memcpy(ctx.out_bytes(0) + whole, ctx.in_bytes(0) + part, static_cast<std::size_t>(bytes));
  });
}

std::vector<Kernel> every_dtype(void (*run)(KernelContext&)) {
  std::vector<Kernel> kernels;
  for (DType dtype : {f32, f64, bf16, f16, i32, i64, boolean}) kernels.push_back({.dtype = dtype, .run = run});
  return kernels;
}

Attributes at(const BatchState& place, std::int64_t count) {
  return {{"axis", std::int64_t{place.axis}}, {"outer", place.outer}, {"inner", place.inner}, {"count", count}};
}

// By itself a graph has one micro-batch: what several do is tested where they run (tests/ops/step/micro_test.cpp).
std::vector<Sample> part_samples() {
  auto one = [](int axis, std::int64_t outer = 1, std::int64_t inner = 1) {
    return at(BatchState::split_at(axis, outer, inner), 1);
  };
  return {{{sample::normal({4, 3}).batched(0)}, one(0)},
          {{sample::normal({2, 5, 3}).batched(1)}, one(1)},
          {{sample::integers({6, 3}, -9, 9)}, one(0, 2, 3), false},
          {{sample::booleans({3, 4})}, one(1, 2), false},
          {{sample::extremes({9, 7000})}, one(0), false}};
}

// --- sums ---

std::vector<TensorType> infer_sum(const OpView& view) {
  WEFT_CHECK(view.type(0).dtype != boolean, "sums need numbers, got {}; hint: cast(x, i64)", view.type(0).str());
  return {{accumulator_dtype(view.type(0).dtype), view.shape(0)}};
}

// y = x, or y += x, in the accumulator's type.
template <class T>
void put(const T* x, Wide<T>* y, std::int64_t n, bool first) {
  for_tiles(n, [&](std::int64_t begin, std::int64_t count) {
    Wide<T>* to = y + begin;
    if constexpr (is_narrow<T>) {
      float block[narrow_block];
      for (std::int64_t i = 0; i < count; i += narrow_block) {
        const std::int64_t m = std::min(narrow_block, count - i);
        widen(x + begin + i, block, m);
        for (std::int64_t j = 0; j < m; ++j) to[i + j] = first ? block[j] : to[i + j] + block[j];
      }
    } else if (first) {
      if (to != x + begin) std::memcpy(to, x + begin, static_cast<std::size_t>(count) * sizeof(T));
    } else if constexpr (std::is_integral_v<T>) {
      using U = std::make_unsigned_t<T>;  // wraps around, as add does
      for (std::int64_t i = 0; i < count; ++i)
        to[i] = static_cast<T>(static_cast<U>(to[i]) + static_cast<U>(x[begin + i]));
    } else {
      for (std::int64_t i = 0; i < count; ++i) to[i] += x[begin + i];
    }
  });
}

template <class T>
void sum_kernel(KernelContext& ctx) {
  put(ctx.in<T>(0), ctx.out<Wide<T>>(0), ctx.type(0).count(), ctx.micro().index == 0);
}

std::vector<TensorType> infer_onto(const OpView& view) {
  const TensorType want{accumulator_dtype(view.type(1).dtype), view.shape(1)};
  WEFT_CHECK(view.type(0).dtype != boolean && view.type(0) == want, "the sum of {} must be {}, got {}",
             view.type(1).str(), want.str(), view.type(0).str());
  expect_dtype(view, 2, boolean);
  expect_shape(view, 2, {}, "first");
  return {view.type(0)};
}

template <class A>
void onto_kernel(KernelContext& ctx) {
  const bool first = *ctx.in<bool>(2);
  const std::int64_t n = ctx.type(0).count();
  A* y = ctx.out<A>(0);
  if (!first && ctx.out_bytes(0) != ctx.in_bytes(0))
    std::memcpy(ctx.out_bytes(0), ctx.in_bytes(0), ctx.type(0).bytes());
  if constexpr (std::is_same_v<A, float>) {
    if (ctx.type(1).dtype == bf16) return put(ctx.in<bfloat16>(1), y, n, first);
    if (ctx.type(1).dtype == f16) return put(ctx.in<float16>(1), y, n, first);
  }
  put(ctx.in<A>(1), y, n, first);
}

Values onto_plain(const Plain& p) {
  return where(p.in[2], cast(p.in[1], p.out[0].dtype), p.in[0] + cast(p.in[1], p.out[0].dtype));
}

}  // namespace

const OpDef& micro_slice_op() {
  static const OpDef op{
      .name = "micro_slice",
      .law = "y = the examples of x that belong to the micro-batch that runs",
      .infer = infer_slice,
      .batch = batch_part,
      .backward = [](Backward& b) { b.input(0, build(micro_slice_op(), {b.cotangent(0)}, b.attributes())); },
      .reference = unmoved,  // of the one micro-batch that samples have
      .terms = linear_in({0}),
      .traits = {.per_micro_batch = true},
      .kernels = every_dtype(slice_kernel),
      .samples = part_samples(),
      .bad_samples = {{{{f32, {4, 3}}}, at(BatchState::split_at(0), 3), "3 micro-batches do not divide the batch of 4"},
                      {{{f32, {4, 3}}}, at(BatchState::split_at(2), 2), "no batch at axis 2"},
                      {{{f32, {4, 3}}}, at(BatchState::split_at(0, 3), 2), "no batch at axis 0 (3 x batch x 1)"},
                      {{{f32, {4, 3}}}, at(BatchState::split_at(0), 0), "must be positive, got 0"}},
  };
  return op;
}

const OpDef& accumulate_sum_op() {
  static const OpDef op{
      .name = "accumulate_sum",
      .law = "y = sum over the micro-batches of x",
      .infer = infer_sum,
      .batch = [](const OpView&, std::span<const BatchState> in) -> std::vector<BatchState> {
        const bool sum = in[0].kind == BatchState::Kind::summed;
        return {sum ? in[0] : in[0].as_mixed()};
      },
      .backward = [](Backward& b) { b.input(0, cast(b.cotangent(0), b.in(0).dtype())); },
      .reference = unmoved,
      .terms = adds_up(),
      .traits = {.recomputable = false, .gathers = true},
      .lowerings = {&fuse_accumulate()},
      .kernels = {{.dtype = f32, .run = sum_kernel<float>},
                  {.dtype = f64, .run = sum_kernel<double>},
                  {.dtype = bf16, .run = sum_kernel<bfloat16>},
                  {.dtype = f16, .run = sum_kernel<float16>},
                  {.dtype = i32, .run = sum_kernel<std::int32_t>},
                  {.dtype = i64, .run = sum_kernel<std::int64_t>}},
      .samples = {{{sample::normal({3, 5})}, {}},
                  {{sample::normal({})}, {}},
                  {{sample::integers({7}, -9, 9)}, {}, false},
                  {{sample::extremes({3, 7000})}, {}, false}},
      .bad_samples = {{{{boolean, {3}}}, {}, "got bool[3]"}},
  };
  return op;
}

const OpDef& micro_stack_op() {
  static const OpDef op{
      .name = "micro_stack",
      .law = "y = x of each micro-batch, side by side along the batch",
      .infer = infer_stack,
      .batch = batch_part,
      .backward = [](Backward& b) { b.input(0, build(micro_stack_op(), {b.cotangent(0)}, b.attributes())); },
      .reference = unmoved,
      .terms = adds_up(),
      .traits = {.recomputable = false, .gathers = true},
      .kernels = every_dtype(stack_kernel),
      .samples = part_samples(),
      .bad_samples = {{{{f32, {4, 3}}}, at(BatchState::split_at(-1), 2), "no batch at axis -1"},
                      {{{f32, {4, 3}}}, at(BatchState::split_at(1, 1, 2), 2), "no batch at axis 1 (1 x batch x 2)"}},
  };
  return op;
}

const OpDef& accumulate_onto_op() {
  static const OpDef op{
      .name = "accumulate_onto",
      .law = "y = first ? x : total + x",
      .least_inputs = 3,
      .most_inputs = 3,
      .infer = infer_onto,
      .batch = [](const OpView&, std::span<const BatchState> in) -> std::vector<BatchState> {
        // The runs before are other examples: the sum over all is a sum only where nothing came before.
        return {in[1].kind == BatchState::Kind::free && in[0].kind == BatchState::Kind::free ? BatchState{}
                                                                                             : BatchState::mixed()};
      },
      .plain = onto_plain,
      .terms = terms_are({{.factors = {0}, .inner = {{2}}}, {.factors = {1}, .adds = 1}}),
      .wide_operands = {0},
      .traits = {.in_place = {{0, 0}}},
      .kernels = {{.dtype = f32, .run = onto_kernel<float>},
                  {.dtype = f64, .run = onto_kernel<double>},
                  {.dtype = i32, .run = onto_kernel<std::int32_t>},
                  {.dtype = i64, .run = onto_kernel<std::int64_t>}},
      .samples = {{{sample::normal({3, 5}), sample::normal({3, 5}), sample::booleans({})}, {}},
                  {{sample::normal({7}), sample::normal({7}), sample::integers({}, 1, 2).as(boolean)}, {}},
                  {{sample::normal({2, 9000}), sample::normal({2, 9000}), sample::integers({}, 0, 1).as(boolean)},
                   {},
                   false},
                  {{sample::integers({4}, -9, 9), sample::integers({4}, -9, 9), sample::booleans({})}, {}, false}},
      .bad_samples = {{{{f32, {3}}, {f64, {3}}, {boolean, {}}}, {}, "the sum of f64[3] must be f64[3], got f32[3]"},
                      {{{bf16, {3}}, {bf16, {3}}, {boolean, {}}}, {}, "must be f32[3]"},
                      {{{f32, {3}}, {f32, {3}}, {boolean, {3}}}, {}, "first must be []"},
                      {{{f32, {3}}, {f32, {3}}, {i64, {}}}, {}, "must be bool"}},
  };
  return op;
}

Value micro_slice(const Arg& x, const BatchState& state, std::int64_t count) {
  return build(micro_slice_op(), {x}, at(state, count));
}
Value accumulate_sum(const Arg& x) { return build(accumulate_sum_op(), {x}); }
Value micro_stack(const Arg& x, const BatchState& state, std::int64_t count) {
  return build(micro_stack_op(), {x}, at(state, count));
}
Value accumulate_onto(const Arg& total, const Arg& x, const Arg& first) {
  return build(accumulate_onto_op(), {total, x, first});
}

void register_micro() {
  for (const OpDef* op : {&micro_slice_op(), &accumulate_sum_op(), &micro_stack_op(), &accumulate_onto_op()})
    registry().add(*op);
}

}  // namespace weft
