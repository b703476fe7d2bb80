#include <weft/ops/attention/cache.h>

#include <weft/graph/registry.h>
#include <weft/ops/index/index.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/kernel.h>

#include <cstring>

namespace weft {
namespace {

// An operand of whole numbers, [] or one for each example.
class PerExample {
 public:
  PerExample(const KernelContext& context, int operand)
      : narrow_(context.has(operand) && context.type(operand).dtype == i32 ? context.in<std::int32_t>(operand)
                                                                           : nullptr),
        wide_(context.has(operand) && context.type(operand).dtype == i64 ? context.in<std::int64_t>(operand) : nullptr),
        each_(context.has(operand) && context.type(operand).shape.rank() == 1) {}
  std::int64_t operator()(std::int64_t example, std::int64_t absent = 0) const {
    const std::int64_t at = each_ ? example : 0;
    return narrow_ != nullptr ? narrow_[at] : wide_ != nullptr ? wide_[at] : absent;
  }

 private:
  const std::int32_t* narrow_;
  const std::int64_t* wide_;
  bool each_;
};

bool fits(std::int64_t start, std::int64_t count, std::int64_t time, std::int64_t capacity) {
  return 0 <= count && count <= time && 0 <= start && count <= capacity - start;
}

void expect_fits(std::int64_t example, std::int64_t start, std::int64_t count, std::int64_t time,
                 std::int64_t capacity) {
  WEFT_CHECK(0 <= count && count <= time, "example {} appends {} of {} tokens", example, count, time);
  WEFT_CHECK(start >= 0, "example {} of the cache is said to hold {} tokens", example, start);
  WEFT_CHECK(
      count <= capacity - start,
      "the cache is full: example {} holds {} of at most {} tokens, and {} more do not fit; hint: crop() or a larger "
      "capacity",
      example, start, capacity, count);
}

void expect_per_example(const OpView& view, int i, const Dim& examples, const char* what) {
  expect_integer(view, i);
  const Shape& shape = view.shape(i);
  WEFT_CHECK(shape.rank() == 0 || shape == Shape{examples}, "{} must be [] or [{}], got {}", what, examples.value(),
             shape.str());
}

// --- cache_append: y[b, start_b + i] = x[b, i] for i < count_b, cache elsewhere --------------------------------------

enum In : int { cache, x, start, count };

std::vector<TensorType> infer_append(const OpView& view) {
  const Shape &to = view.shape(In::cache), &from = view.shape(In::x);
  expect_dtype(view, In::x, view.type(In::cache).dtype);
  WEFT_CHECK(to.rank() >= 2 && from.rank() == to.rank(),
             "expected a cache [batch, capacity, ..] and x [batch, time, ..], got {} and {}", to.str(), from.str());
  for (int axis = 2; axis < to.rank(); ++axis)
    WEFT_CHECK(to[axis] == from[axis], "x must be [.., {}] as the cache is along axis {}, got {}", to.extent(axis),
               axis, from.str());
  WEFT_CHECK(from.extent(0) <= to.extent(0), "the cache is for at most {} examples, got {}", to.extent(0),
             from.extent(0));
  WEFT_CHECK(from.extent(1) > 0, "there is nothing to append: x is {}", from.str());
  WEFT_CHECK(from.extent(1) <= to.extent(1), "the cache has a capacity of {} tokens, and {} are appended at once",
             to.extent(1), from.extent(1));
  expect_per_example(view, In::start, from[0], "start");
  if (view.has(In::count)) expect_per_example(view, In::count, from[0], "count");
  return {view.type(In::cache)};
}

// Examples do not meet where the cache has the batch, and x one for each of its examples.
std::vector<BatchState> batch_append(const OpView& view, std::span<const BatchState> in) {
  const bool whole = view.shape(In::x).extent(0) == view.shape(In::cache).extent(0);
  bool apart = whole && in[In::cache] == BatchState::split_at(0) && in[In::x] == in[In::cache], any = false;
  for (const BatchState& state : in) {
    any |= state.kind != BatchState::Kind::free;
    apart &= state.kind == BatchState::Kind::free || state == BatchState::split_at(0);
  }
  if (!any) return {BatchState{}};
  return {apart ? in[In::cache] : in[In::cache].in_shape() ? in[In::cache].as_mixed() : BatchState::mixed()};
}

// One kernel for every dtype: rows of bytes.
void append_kernel(KernelContext& context) {
  const Shape &to = context.type(In::cache).shape, &from = context.type(In::x).shape;
  const std::int64_t capacity = to.extent(1), time = from.extent(1), width = extent_product(to, 2, to.rank());
  const PerExample starts(context, In::start), counts(context, In::count);
  for (std::int64_t b = 0; b < from.extent(0); ++b)
    WEFT_INVARIANT(fits(starts(b), counts(b, time), time, capacity), "cache_append without its require_room");
  if (context.out_bytes(0) != context.in_bytes(In::cache))
    std::memcpy(context.out_bytes(0), context.in_bytes(In::cache), context.out_type(0).bytes());
  const std::size_t row = static_cast<std::size_t>(width) * size_of(context.type(In::cache).dtype);
  for_row_tiles(from.extent(0) * time, width, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t b = r / time, i = r % time;
      if (i >= counts(b, time)) continue;
      std::memcpy(context.out_bytes(0) + static_cast<std::size_t>(b * capacity + starts(b) + i) * row,
                  context.in_bytes(In::x) + static_cast<std::size_t>(r) * row, row);
    }
  });
}

// Place c of example b takes x[b, c - start_b].
Values append_plain(const Plain& p) {
  const Value &to = p.in[In::cache], &from = p.in[In::x];
  const Dim batch = from.dim(0), capacity = to.dim(1);
  const auto column = [](const Value& v) { return cast(v.rank() == 0 ? v : reshape(v, {v.dim(0), 1}), i64); };
  const bool counted = p.in.size() > In::count && !p.in[In::count].absent();
  const Value place = iota(to.graph(), capacity) - column(p.in[In::start]);  // [capacity] or [batch, capacity]
  const auto last = static_cast<double>(from.shape().extent(1) - 1);
  Value inside =
      logical_and(greater_equal(place, 0), counted ? less(place, column(p.in[In::count])) : less_equal(place, last));
  Shape rows{batch, capacity}, each{batch, capacity};
  for (int axis = 2; axis < to.rank(); ++axis) rows.push_back(1), each.push_back(to.dim(axis));
  const auto spread = [&](const Value& v) {
    return broadcast_to(reshape(broadcast_to(v, {batch, capacity}), rows), each);
  };
  Value y = gather(from, 1, spread(minimum(maximum(place, 0.0), last)));
  inside = spread(inside);
  if (const std::int64_t n = batch.value(); n < to.shape().extent(0)) {
    y = where(inside, y, slice(to, {.stop = n}));
    return concatenate({y, slice(to, {.start = n})}, 0);
  }
  return where(inside, y, to);
}

// --- require_room: y = start ----------------------------------------------------------------------------------------

std::vector<TensorType> infer_room(const OpView& view) {
  expect_integer(view, 0);
  WEFT_CHECK(view.shape(0).rank() <= 1, "start must be [] or [batch], got {}", view.shape(0).str());
  if (view.has(1)) {
    expect_integer(view, 1);
    expect_shape(view, 1, view.shape(0), "count");
  }
  const std::int64_t time = view.attributes.integer("time"), capacity = view.attributes.integer("capacity");
  WEFT_CHECK(0 <= time && time <= capacity, "the cache has a capacity of {} tokens, and {} are appended at once",
             capacity, time);
  return {view.type(0)};
}

void room_kernel(KernelContext& context) {
  const std::int64_t time = context.attributes().integer("time"), capacity = context.attributes().integer("capacity");
  const PerExample starts(context, 0), counts(context, 1);
  for (std::int64_t b = 0; b < context.type(0).count(); ++b) expect_fits(b, starts(b), counts(b, time), time, capacity);
  if (context.out_bytes(0) != context.in_bytes(0))
    std::memcpy(context.out_bytes(0), context.in_bytes(0), context.out_type(0).bytes());
}

Attributes room(std::int64_t time, std::int64_t capacity) { return {{"time", time}, {"capacity", capacity}}; }

}  // namespace

const OpDef& cache_append_op() {
  using sample::integers, sample::normal;
  std::vector<Kernel> kernels;
  for (DType dtype : {f32, f64, bf16, f16, i32, i64, boolean})
    kernels.push_back({.dtype = dtype, .run = append_kernel});
  static const OpDef op{
      .name = "cache_append",
      .law = "y[b, start_b + i] = x[b, i] for i < count_b, cache[b, ..] elsewhere",
      .least_inputs = 3,
      .most_inputs = 4,
      .infer = infer_append,
      .batch = batch_append,
      .plain = append_plain,
      .terms = terms_are({{.factors = {In::cache}, .inner = {{In::start}, {In::count}}},
                          {.factors = {In::x}, .inner = {{In::start}, {In::count}}}}),
      // Its require_room refuses for it, so that the caches of all layers may be written in place.
      .traits = {.refuses = false, .in_place = {{0, In::cache}}, .precision = Precision::widest},
      .kernels = std::move(kernels),
      .samples = {{{normal({2, 7, 3}).batched(0), normal({2, 4, 3}).batched(0), integers({2}, 0, 4).batched(0)}},
                  {{normal({3, 5}).batched(0), normal({3, 1}).batched(0), integers({}, 0, 5)}},
                  {{normal({2, 6, 2, 3}), normal({2, 2, 2, 3}), integers({}, 1, 4).as(i32)}},
                  {{normal({4, 6, 2}), normal({3, 2, 2}), integers({3}, 0, 5)}},
                  {{normal({3, 8, 2}).batched(0), normal({3, 4, 2}).batched(0), integers({3}, 0, 5).batched(0),
                    integers({3}, 0, 5).batched(0)}},
                  {{normal({5, 40, 3, 70}), normal({5, 33, 3, 70}), integers({5}, 0, 8)}, {}, false},
                  {{integers({2, 5}, -9, 9), integers({2, 2}, -9, 9), integers({2}, 0, 4)}},
                  {{sample::extremes({2, 18}), sample::extremes({2, 9}), integers({2}, 0, 10)}, {}, false}},
      .bad_samples = {{{{f32, {2, 7, 3}}, {f64, {2, 4, 3}}, {i64, {2}}}, {}, "must be f32"},
                      {{{f32, {2, 7, 3}}, {f32, {2, 4}}, {i64, {2}}}, {}, "expected a cache [batch, capacity, ..]"},
                      {{{f32, {2, 7, 3}}, {f32, {2, 4, 5}}, {i64, {2}}}, {}, "as the cache is along axis 2"},
                      {{{f32, {2, 7, 3}}, {f32, {3, 4, 3}}, {i64, {3}}}, {}, "at most 2 examples, got 3"},
                      {{{f32, {2, 7, 3}}, {f32, {2, 8, 3}}, {i64, {2}}},
                       {},
                       "a capacity of 7 tokens, and 8 are appended"},
                      {{{f32, {2, 7, 3}}, {f32, {2, 0, 3}}, {i64, {2}}}, {}, "nothing to append"},
                      {{{f32, {2, 7, 3}}, {f32, {2, 4, 3}}, {f32, {2}}}, {}, "i32 or i64"},
                      {{{f32, {2, 7, 3}}, {f32, {2, 4, 3}}, {i64, {3}}}, {}, "start must be [] or [2]"},
                      {{{f32, {2, 7, 3}}, {f32, {2, 4, 3}}, {i64, {2}}, {i64, {2, 1}}}, {}, "count must be [] or [2]"}},
  };
  return op;
}

const OpDef& require_room_op() {
  using sample::integers;
  static const OpDef op{
      .name = "require_room",
      .law =
          "y = start where start + count <= capacity; else the run is refused, before anything in the store has "
          "changed",
      .least_inputs = 1,
      .most_inputs = 2,
      .infer = infer_room,
      .batch = same_axis,
      .backward = [](Backward&) {},
      .reference = unmoved,
      .traits = {.recomputable = false, .guard = true},
      .kernels = {{.dtype = i32, .run = room_kernel}, {.dtype = i64, .run = room_kernel}},
      .samples = {{{integers({3}, 0, 7).batched(0)}, room(2, 8)},
                  {{integers({}, 0, 3).as(i32)}, room(5, 8)},
                  {{integers({3}, 0, 4).batched(0), integers({3}, 0, 5).batched(0)}, room(4, 8)}},
      .bad_samples = {{{{f32, {2}}}, room(1, 2), "i32 or i64"},
                      {{{i64, {2, 3}}}, room(1, 2), "start must be [] or [batch]"},
                      {{{i64, {2}}, {i64, {3}}}, room(1, 2), "count must be [2]"},
                      {{{i64, {2}}}, room(3, 2), "a capacity of 2 tokens, and 3 are appended"}},
  };
  return op;
}

namespace {

// `start`, checked by a node that lets nothing in the store change before: the caches of other layers neither. What the
// shape rule of cache_append refuses is left to it.
Value checked_start(const Value& cache, const Value& x, const Value& start, const Value& count) {
  if (!cache.valid() || !x.valid() || !start.valid() || start.node().op == &require_room_op()) return start;
  const bool sound = cache.rank() >= 2 && x.rank() == cache.rank() && is_integer(start.dtype()) && start.rank() <= 1 &&
                     x.dim(1).value() <= cache.dim(1).value();
  if (!sound || (!count.absent() && !count.valid())) return start;
  if (count.absent() || count.shape() == start.shape())
    return require_room(start, x.dim(1).value(), cache.dim(1).value(), count);
  if (!is_integer(count.dtype()) || count.rank() > 1) return start;
  const Shape each = start.rank() == 1 ? start.shape() : count.shape();
  return require_room(broadcast_to(start, each), x.dim(1).value(), cache.dim(1).value(), broadcast_to(count, each));
}

}  // namespace

Value cache_append(const Arg& cache, const Arg& x, const Value& given, const Value& count) {
  const auto line = called_at({cache});
  const Value start = checked_start(cache.value(), x.value(), given, count);
  return count.absent() ? build(cache_append_op(), {cache, x, Arg(start, cache.where())})
                        : build(cache_append_op(), {cache, x, Arg(start, cache.where()), Arg(count, cache.where())});
}

Value require_room(const Arg& start, std::int64_t time, std::int64_t capacity, const Value& count) {
  return count.absent() ? build(require_room_op(), {start}, room(time, capacity))
                        : build(require_room_op(), {start, Arg(count, start.where())}, room(time, capacity));
}

void register_cache() {
  registry().add(cache_append_op());
  registry().add(require_room_op());
}

}  // namespace weft
