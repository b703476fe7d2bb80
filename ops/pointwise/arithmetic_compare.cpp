#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>

#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/shape/creation.h>

#include <cmath>
#include <limits>

namespace weft {
namespace {

using sample::booleans;
using sample::integers;
using sample::normal;

std::vector<Sample> compared() {
  return {
      {{normal({3, 5}).batched(0), normal({5})}, {}},
      {{normal({}), normal({4, 3}).batched(1)}, {}},
      {{normal({3, 1}), normal({4, 1, 9}).batched(0)}, {}},
      {{sample::extremes({2, 9000}), sample::extremes({2, 9000})}, {}, false},
      {{integers({4, 9}, 0, 3), integers({9}, 0, 3)}, {}, false},
  };
}

std::vector<TensorType> bools(const OpView& view) {
  for (int i = 0; i < view.inputs(); ++i)
    WEFT_CHECK(view.type(i).dtype == boolean, "operand {} must be bool, got {}; hint: not_equal(x, 0)", i,
               view.type(i).str());
  return broadcast_to_bool(view);
}

const std::vector<BadSample> bad_pairs{
    {{{f32, {3, 4}}, {f32, {3}}}, {}, "do not broadcast"},
    {{{f32, {3}}, {f64, {3}}}, {}, "cast"},
};
const Traits pointwise{.pointwise = true};
const Traits pointwise_in_place{.pointwise = true, .in_place = {{0, 0}}};

// y = [a compares to b]; no gradient
template <class F>
OpDef comparison(std::string name, std::string law, double (*reference)(double, double)) {
  return {
      .name = std::move(name),
      .law = std::move(law),
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = broadcast_to_bool,
      .batch = same_axis,
      .backward = no_gradient,
      .reference = law_of(reference),
      .traits = pointwise,
      .kernels = compare_kernels<F, float, double, bfloat16, float16, std::int32_t, std::int64_t, bool>(),
      .samples = compared(),
      .bad_samples = bad_pairs,
  };
}

struct Equal {
  template <class T>
  static bool apply(T a, T b) {
    return a == b;
  }
};
struct NotEqual {
  template <class T>
  static bool apply(T a, T b) {
    return a != b;
  }
};
struct Less {
  template <class T>
  static bool apply(T a, T b) {
    return a < b;
  }
};
struct LessEqual {
  template <class T>
  static bool apply(T a, T b) {
    return a <= b;
  }
};
struct Greater {
  template <class T>
  static bool apply(T a, T b) {
    return a > b;
  }
};
struct GreaterEqual {
  template <class T>
  static bool apply(T a, T b) {
    return a >= b;
  }
};
struct And {
  static bool apply(bool a, bool b) { return a && b; }
};
struct Xor {
  static bool apply(bool a, bool b) { return a != b; }
};
struct Or {
  static bool apply(bool a, bool b) { return a || b; }
};

}  // namespace

const OpDef& equal_op() {
  static const OpDef op =
      comparison<Equal>("equal", "y = [a = b]", [](double a, double b) { return a == b ? 1.0 : 0.0; });
  return op;
}
const OpDef& not_equal_op() {
  static const OpDef op =
      comparison<NotEqual>("not_equal", "y = [a != b]", [](double a, double b) { return a != b ? 1.0 : 0.0; });
  return op;
}
const OpDef& less_op() {
  static const OpDef op = comparison<Less>("less", "y = [a < b]", [](double a, double b) { return a < b ? 1.0 : 0.0; });
  return op;
}
const OpDef& less_equal_op() {
  static const OpDef op =
      comparison<LessEqual>("less_equal", "y = [a <= b]", [](double a, double b) { return a <= b ? 1.0 : 0.0; });
  return op;
}
const OpDef& greater_op() {
  static const OpDef op =
      comparison<Greater>("greater", "y = [a > b]", [](double a, double b) { return a > b ? 1.0 : 0.0; });
  return op;
}
const OpDef& greater_equal_op() {
  static const OpDef op =
      comparison<GreaterEqual>("greater_equal", "y = [a >= b]", [](double a, double b) { return a >= b ? 1.0 : 0.0; });
  return op;
}

namespace {

// y = [x is of a kind]; no gradient
template <class F, class T>
void kind_kernel(KernelContext& k) {
  const T* x = k.in<T>(0);
  bool* y = k.out<bool>(0);
  for_tiles(k.type(0).count(), [&](std::int64_t begin, std::int64_t n) {
    for (std::int64_t i = begin; i < begin + n; ++i) y[i] = F::apply(static_cast<Wide<T>>(x[i]));
  });
}
template <class F>
OpDef kind(std::string name, std::string law, double (*reference)(double)) {
  return {
      .name = std::move(name),
      .law = std::move(law),
      .infer = [](const OpView& view) -> std::vector<TensorType> {
        expect_float(view, 0);
        return {{boolean, view.shape(0)}};
      },
      .batch = same_axis,
      .backward = no_gradient,
      .reference = law_of(reference),
      .traits = pointwise,
      .kernels = {{.dtype = f32, .run = kind_kernel<F, float>},
                  {.dtype = f64, .run = kind_kernel<F, double>},
                  {.dtype = bf16, .run = kind_kernel<F, bfloat16>},
                  {.dtype = f16, .run = kind_kernel<F, float16>}},
      .samples = {{{sample::extremes({3, 7000}).batched(0)}, {}, false},
                  {{normal({3, 5}).batched(1)}, {}},
                  {{sample::extremes({})}, {}, false}},
      .bad_samples = {{{{i64, {3}}}, {}, "floating type"}},
  };
}
struct Finite {
  template <class T>
  static bool apply(T x) {
    return std::isfinite(x);
  }
};
struct NotANumber {
  template <class T>
  static bool apply(T x) {
    return x != x;
  }
};

}  // namespace

const OpDef& isfinite_op() {
  static const OpDef op = kind<Finite>("isfinite", "y = [|x| < inf]", [](double x) {
    return std::fabs(x) <= std::numeric_limits<double>::max() ? 1.0 : 0.0;
  });
  return op;
}
const OpDef& isnan_op() {
  static const OpDef op = kind<NotANumber>("isnan", "y = [x != x]", [](double x) { return x != x ? 1.0 : 0.0; });
  return op;
}

const OpDef& logical_and_op() {
  static const OpDef op{
      .name = "logical_and",
      .law = "y = a and b",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = bools,
      .batch = same_axis,
      .backward = no_gradient,
      .reference = law_of([](double a, double b) { return a * b; }),
      .traits = {.pointwise = true, .in_place = {{0, 0}, {0, 1}}},
      .kernels = compare_kernels<And, bool>(),
      .samples = {{{booleans({3, 5}).batched(0), booleans({5})}, {}, false}},
      .bad_samples = {{{{f32, {3}}, {f32, {3}}}, {}, "must be bool"}},
  };
  return op;
}

const OpDef& logical_or_op() {
  static const OpDef op{
      .name = "logical_or",
      .law = "y = a or b",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = bools,
      .batch = same_axis,
      .backward = no_gradient,
      .reference = law_of([](double a, double b) { return a + b > 0 ? 1.0 : 0.0; }),
      .traits = {.pointwise = true, .in_place = {{0, 0}, {0, 1}}},
      .kernels = compare_kernels<Or, bool>(),
      .samples = {{{booleans({3, 1}), booleans({4, 1, 9}).batched(0)}, {}, false}},
      .bad_samples = {{{{f32, {3}}, {f32, {3}}}, {}, "must be bool"}},
  };
  return op;
}

const OpDef& logical_xor_op() {
  static const OpDef op{
      .name = "logical_xor",
      .law = "y = a or b, not both",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = bools,
      .batch = same_axis,
      .backward = no_gradient,
      .reference = law_of([](double a, double b) { return a + b == 1 ? 1.0 : 0.0; }),
      .traits = {.pointwise = true, .in_place = {{0, 0}, {0, 1}}},
      .kernels = compare_kernels<Xor, bool>(),
      .samples = {{{booleans({4, 3, 5}).batched(0), booleans({3, 1})}, {}, false},
                  {{booleans({}), booleans({7}).batched(0)}, {}, false}},
      .bad_samples = {{{{i64, {3}}, {i64, {3}}}, {}, "must be bool"}},
  };
  return op;
}

struct Not {
  static void run(const bool* x, bool* y, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) y[i] = !x[i];
  }
};
const OpDef& logical_not_op() {
  static const OpDef op{
      .name = "logical_not",
      .law = "y = not x",
      .infer = bools,
      .batch = same_axis,
      .backward = no_gradient,
      .reference = law_of([](double x) { return 1 - x; }),
      .traits = pointwise_in_place,
      .kernels = unary_kernels_of<Not, bool>(),
      .samples = {{{booleans({3, 5}).batched(0)}, {}, false}},
      .bad_samples = {{{{f32, {3}}}, {}, "must be bool"}},
  };
  return op;
}

// y = condition ? a : b        d_a = condition ? d_y : 0, d_b = condition ? 0 : d_y
namespace {

std::vector<TensorType> infer_where(const OpView& view) {
  expect_dtype(view, 0, boolean);
  WEFT_CHECK(view.type(1).dtype == view.type(2).dtype,
             "both choices must have one dtype, got {} and {}; hint: cast(x, {})", name_of(view.type(1).dtype),
             name_of(view.type(2).dtype), name_of(view.type(1).dtype));
  return {{view.type(1).dtype, broadcast(view.shape(0), broadcast(view.shape(1), view.shape(2)))}};
}

// The same choice of sums is the sum of the choices.
std::vector<BatchState> where_batch(const OpView& view, std::span<const BatchState> in) {
  if (in[0].kind == BatchState::Kind::free && in[1].kind == BatchState::Kind::summed &&
      in[2].kind == BatchState::Kind::summed)
    return {BatchState::summed()};
  return same_axis(view, in);
}

template <class T, bool C, bool A, bool B>
void where_row(const bool* c, const T* a, const T* b, T* y, std::int64_t n) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) y[i] = c[C ? i : 0] ? a[A ? i : 0] : b[B ? i : 0];
}

// Elements are only moved, so one kernel serves every type of a size.
template <class T>
BoundKernel bind_where_of(const OpView& view) {
  static constexpr decltype(&where_row<T, true, true, true>) rows[] = {
      where_row<T, false, false, false>, where_row<T, false, false, true>, where_row<T, false, true, false>,
      where_row<T, false, true, true>,   where_row<T, true, false, false>, where_row<T, true, false, true>,
      where_row<T, true, true, false>,   where_row<T, true, true, true>};
  const BroadcastWalk walk(view);
  const auto row = rows[4 * walk.steps(0) + 2 * walk.steps(1) + walk.steps(2)];
  return [walk, row](KernelContext& k) {
    walk.run([&](const BroadcastWalk::Offsets& at, std::int64_t out, std::int64_t n) {
      row(k.in<bool>(0) + at[0], k.in<T>(1) + at[1], k.in<T>(2) + at[2], k.out<T>(0) + out, n);
    });
  };
}
BoundKernel bind_where(const OpView& view) {
  switch (size_of(view.type(1).dtype)) {
    case 8:
      return bind_where_of<std::uint64_t>(view);
    case 4:
      return bind_where_of<std::uint32_t>(view);
    case 2:
      return bind_where_of<std::uint16_t>(view);
    default:
      return bind_where_of<std::uint8_t>(view);
  }
}

}  // namespace
const OpDef& where_op() {
  static const OpDef op{
      .name = "where",
      .law = "y = condition ? a : b",
      .least_inputs = 3,
      .most_inputs = 3,
      .infer = infer_where,
      .batch = where_batch,
      .backward =
          [](Backward& b) {
            if (b.wants(1)) b.input(1, where(b.in(0), b.cotangent(0), 0.0));
            if (b.wants(2)) b.input(2, where(b.in(0), 0.0, b.cotangent(0)));
          },
      .reference = law_of([](double condition, double a, double b) { return condition != 0 ? a : b; }),
      .terms = terms_are({{.factors = {1}, .inner = {{0}}}, {.factors = {2}, .inner = {{0}}}}),
      .traits = {.pointwise = true, .in_place = {{0, 1}, {0, 2}}},
      .kernels = {{.dtype = boolean, .bind = bind_where}},
      .samples = {{{booleans({3, 5}).batched(0), normal({3, 5}).batched(0), normal({3, 5}).batched(0)}, {}},
                  {{booleans({5}), normal({4, 3, 5}).batched(0), normal({3, 1})}, {}},
                  {{booleans({4, 3, 1}), normal({3, 5}), normal({})}, {}},
                  {{booleans({3, 5}), normal({}), normal({3, 5})}, {}},
                  {{booleans({3, 5}), normal({3, 1}), normal({3, 1})}, {}},
                  {{booleans({3, 1}), normal({5}), normal({5})}, {}},
                  {{booleans({3, 1}), normal({}), normal({5})}, {}},
                  {{booleans({}), normal({}), normal({})}, {}},
                  {{booleans({3, 1}), normal({}), normal({4, 1, 1}).batched(0)}, {}},
                  {{booleans({2, 9000}), sample::extremes({2, 9000}), normal({9000})}, {}, false}},
      .bad_samples = {{{{f32, {3}}, {f32, {3}}, {f32, {3}}}, {}, "must be bool"},
                      {{{boolean, {3}}, {f32, {3}}, {f64, {3}}}, {}, "one dtype"},
                      {{{boolean, {3}}, {f32, {4}}, {f32, {3}}}, {}, "do not broadcast"}},
  };
  return op;
}

Value equal(const Arg& a, const Arg& b) { return build(equal_op(), {a, b}); }
Value not_equal(const Arg& a, const Arg& b) { return build(not_equal_op(), {a, b}); }
Value less(const Arg& a, const Arg& b) { return build(less_op(), {a, b}); }
Value less_equal(const Arg& a, const Arg& b) { return build(less_equal_op(), {a, b}); }
Value greater(const Arg& a, const Arg& b) { return build(greater_op(), {a, b}); }
Value greater_equal(const Arg& a, const Arg& b) { return build(greater_equal_op(), {a, b}); }
Value isfinite(const Arg& x) { return build(isfinite_op(), {x}); }
Value isnan(const Arg& x) { return build(isnan_op(), {x}); }
Value logical_and(const Arg& a, const Arg& b) { return build(logical_and_op(), {a, b}); }
Value logical_or(const Arg& a, const Arg& b) { return build(logical_or_op(), {a, b}); }
Value logical_xor(const Arg& a, const Arg& b) { return build(logical_xor_op(), {a, b}); }
Value logical_not(const Arg& x) { return build(logical_not_op(), {x}); }

Value where(const Arg& condition, const Arg& a, const Arg& b) {
  // A number's dtype is that of the other choice, not that of the condition, which stands first.
  DType dtype = f32;
  for (const Arg* arg : {&a, &b})
    if (!arg->is_number() && arg->value().valid()) dtype = arg->value().dtype();
  auto choice = [&](const Arg& arg) {
    return arg.is_number() ? full(graph_of({condition, a, b}), {}, dtype, arg.exact_number(), condition.where())
                           : arg.value();
  };
  return build(where_op(), {condition, {choice(a), a.where()}, {choice(b), b.where()}});
}

}  // namespace weft
