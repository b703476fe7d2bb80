#include <weft/ops/pointwise/arithmetic.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/runtime/simd/simd.h>

#include <cmath>

namespace weft {
namespace {

using sample::integers;
using sample::normal;
using sample::uniform;

// Integers are computed as unsigned: beyond their range they wrap, where signed arithmetic would be undefined.
template <class T>
auto modular(T x) {
  if constexpr (std::is_integral_v<T>) return static_cast<std::make_unsigned_t<T>>(x);
  else return x;
}
template <class T>
T magnitude(T x) {
  if constexpr (std::is_integral_v<T>) return x < 0 ? static_cast<T>(-modular(x)) : x;
  else return std::abs(x);
}

std::vector<TensorType> numbers(const OpView& view) {
  WEFT_CHECK(view.type(0).dtype != boolean, "operands must be numbers, got {}; hint: cast(x, f32), or logical_and",
             view.type(0).str());
  return broadcast_operands(view);
}

std::vector<TensorType> floats(const OpView& view) {
  WEFT_CHECK(is_float(view.type(0).dtype), "operand 0 must be of a floating type, got {}; hint: cast(x, f32)",
             view.type(0).str());
  return broadcast_operands(view);
}

// Products and quotients are linear in an operand that alone depends on the batch.
std::vector<BatchState> product_batch(const OpView& view, std::span<const BatchState> in) {
  if (in[0].kind == BatchState::Kind::summed && in[1].kind == BatchState::Kind::free) return {BatchState::summed()};
  if (&view.op == &multiply_op() && in[1].kind == BatchState::Kind::summed && in[0].kind == BatchState::Kind::free)
    return {BatchState::summed()};
  return same_axis(view, in);
}

// Each operand by itself; one that is broadcast goes to several elements.
std::vector<Term> addends(const OpView& view) {
  std::vector<Term> terms;
  for (int i = 0; i < 2; ++i)
    terms.push_back({.factors = {i}, .adds = view.shape(i).count() == view.out_type(0).count() ? i : -1});
  return terms;
}
// Elements of one beside a scalar.
std::vector<Term> factors(const OpView& view) {
  const int adds = view.shape(1).rank() == 0 ? 0 : view.shape(0).rank() == 0 ? 1 : -1;
  return {{.factors = {0, 1}, .adds = adds}};
}
std::vector<Term> quotient(const OpView& view) {
  return {{.factors = {0}, .inner = {{1}}, .adds = view.shape(1).rank() == 0 ? 0 : -1}};
}

const Traits in_place_of_any{.pointwise = true, .in_place = {{0, 0}, {0, 1}}};
const Traits in_place{.pointwise = true, .in_place = {{0, 0}}};

std::vector<Sample> two_operands(double low, double high) {
  auto fill = [&](std::vector<std::int64_t> extents) { return uniform(std::move(extents), low, high); };
  return {
      {{fill({3, 5}), fill({3, 5})}, {}},
      {{fill({4, 3, 5}).batched(0), fill({5})}, {}},
      {{fill({5}), fill({4, 3, 5}).batched(0)}, {}},
      {{fill({4, 3, 1}).batched(0), fill({3, 7})}, {}},
      {{fill({2, 1, 4, 1}), fill({3, 1, 5}).batched(0)}, {}},
      {{fill({}), fill({11}).batched(0)}, {}},
      {{fill({3, 4}).batched(1), fill({1, 1})}, {}},
      {{fill({}), fill({})}, {}},
      {{fill({7, 2500}), fill({7, 2500})}, {}, false},
      {{fill({2, 17000}).batched(0), fill({2, 1}).batched(0)}, {}, false},
      {{sample::extremes({3, 30}), fill({3, 30})}, {}, false},
      {{fill({30}), sample::extremes({3, 30})}, {}, false},
  };
}

std::vector<Sample> with_integers(std::vector<Sample> samples) {
  samples.push_back({{integers({3, 5}, -9, 9), integers({5}, -9, 9)}, {}, false});
  return samples;
}

const std::vector<BadSample> bad_pairs{
    {{{f32, {3, 4}}, {f32, {3}}}, {}, "do not broadcast"},
    {{{f32, {3}}, {f64, {3}}}, {}, "cast"},
    {{{boolean, {3}}, {boolean, {3}}}, {}, "got bool"},
};

}  // namespace

// y = a + b        d_a = d_y, d_b = d_y
struct Add {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(modular(a) + modular(b));
  }
  template <std::floating_point T>
  static void run(const T* a, const T* b, T* y, std::int64_t n) {
    simd<T>().add(a, b, y, n);
  }
};
const OpDef& add_op() {
  static const OpDef op{
      .name = "add",
      .law = "y = a + b",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = numbers,
      .batch = linear_same_axis,
      .backward =
          [](Backward& b) {
            b.input(0, b.cotangent(0));
            b.input(1, b.cotangent(0));
          },
      .reference = law_of([](double a, double b) { return a + b; }),
      .terms = addends,
      .traits = in_place_of_any,
      .kernels = binary_kernels<Add, float, double, bfloat16, float16, std::int32_t, std::int64_t>(),
      .samples = with_integers(two_operands(-2, 2)),
      .bad_samples = bad_pairs,
  };
  return op;
}

// y = a - b        d_a = d_y, d_b = -d_y
struct Subtract {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(modular(a) - modular(b));
  }
  template <std::floating_point T>
  static void run(const T* a, const T* b, T* y, std::int64_t n) {
    simd<T>().subtract(a, b, y, n);
  }
};
const OpDef& subtract_op() {
  static const OpDef op{
      .name = "subtract",
      .law = "y = a - b",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = numbers,
      .batch = linear_same_axis,
      .backward =
          [](Backward& b) {
            b.input(0, b.cotangent(0));
            if (b.wants(1)) b.input(1, -b.cotangent(0));
          },
      .reference = law_of([](double a, double b) { return a - b; }),
      .terms = addends,
      .traits = in_place_of_any,
      .kernels = binary_kernels<Subtract, float, double, bfloat16, float16, std::int32_t, std::int64_t>(),
      .samples = with_integers(two_operands(-2, 2)),
      .bad_samples = bad_pairs,
  };
  return op;
}

// y = a b          d_a = d_y b, d_b = d_y a
struct Multiply {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(modular(a) * modular(b));
  }
  template <std::floating_point T>
  static void run(const T* a, const T* b, T* y, std::int64_t n) {
    simd<T>().multiply(a, b, y, n);
  }
};
const OpDef& multiply_op() {
  static const OpDef op{
      .name = "multiply",
      .law = "y = a b",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = numbers,
      .batch = product_batch,
      .backward =
          [](Backward& b) {
            if (b.wants(0)) b.input(0, b.cotangent(0) * b.in(1));
            if (b.wants(1)) b.input(1, b.cotangent(0) * b.in(0));
          },
      .reference = law_of([](double a, double b) { return a * b; }),
      .terms = factors,
      .traits = in_place_of_any,
      .kernels = binary_kernels<Multiply, float, double, bfloat16, float16, std::int32_t, std::int64_t>(),
      .samples = with_integers(two_operands(-2, 2)),
      .bad_samples = bad_pairs,
  };
  return op;
}

// y = a / b        d_a = d_y / b, d_b = -(d_y / b) y
struct Divide {
  template <class T>
  static T apply(T a, T b) {
    return a / b;
  }
  template <std::floating_point T>
  static void run(const T* a, const T* b, T* y, std::int64_t n) {
    simd<T>().divide(a, b, y, n);
  }
};
const OpDef& divide_op() {
  static const OpDef op{
      .name = "divide",
      .law = "y = a / b",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = floats,
      .batch = product_batch,
      .backward =
          [](Backward& b) {
            const Value d_a = b.cotangent(0) / b.in(1);
            b.input(0, d_a);
            if (b.wants(1)) b.input(1, -(d_a * b.out(0)));
          },
      .reference = law_of([](double a, double b) { return a / b; }),
      .terms = quotient,
      .traits = in_place_of_any,
      .kernels = binary_kernels<Divide, float, double, bfloat16, float16>(),
      .samples = two_operands(0.5, 2.5),
      .bad_samples = {{{{i64, {3}}, {i64, {3}}}, {}, "floating type"}},
  };
  return op;
}

// y = a^b          d_a = d_y b a^(b - 1), 0 where b = 0;   d_b = d_y y log a, 0 where a = 0 and b >= 0
struct Pow {
  template <class T>
  static T apply(T a, T b) {
    return std::pow(a, b);
  }
};
const OpDef& pow_op() {
  static const OpDef op{
      .name = "pow",
      .law = "y = a^b",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = floats,
      .batch = same_axis,
      .backward =
          [](Backward& b) {
            const Value d_y = b.cotangent(0), base = b.in(0), power = b.in(1);
            // What is not chosen is finite as well: the derivative of where() sends 0 into it, and 0 times infinity is
            // NaN.
            if (b.wants(0)) {
              const Value flat = equal(power, 0.0);
              b.input(0, where(flat, 0.0, d_y * power * pow(base, where(flat, 1.0, power - 1.0))));
            }
            if (b.wants(1)) {
              const Value flat = logical_and(equal(base, 0.0), greater_equal(power, 0.0));
              b.input(1, where(flat, 0.0, d_y * b.out(0) * log(where(flat, 1.0, base))));
            }
          },
      .reference = law_of([](double a, double b) { return std::pow(a, b); }),
      .traits = {.pointwise = true, .cheap = false, .in_place = {{0, 0}, {0, 1}}, .precision = Precision::f32},
      .kernels = binary_kernels<Pow, float, double, bfloat16, float16>(),
      .samples = two_operands(0.5, 2.5),
      .bad_samples = {{{{i64, {3}}, {i64, {3}}}, {}, "floating type"}},
  };
  return op;
}

// y = min(a, b)    d_a = d_y ([a < b] + [a = b] / 2), d_b = d_y ([b < a] + [a = b] / 2)
struct Minimum {
  template <class T>
  static T apply(T a, T b) {
    return a < b || a != a ? a : b;
  }
  template <std::floating_point T>
  static void run(const T* a, const T* b, T* y, std::int64_t n) {
    simd<T>().minimum(a, b, y, n);
  }
};
struct Maximum {
  template <class T>
  static T apply(T a, T b) {
    return a > b || a != a ? a : b;
  }
  template <std::floating_point T>
  static void run(const T* a, const T* b, T* y, std::int64_t n) {
    simd<T>().maximum(a, b, y, n);
  }
};
void choose_backward(Backward& b, Value (*chosen)(const Arg&, const Arg&)) {
  const Value d_y = b.cotangent(0), shared = where(equal(b.in(0), b.in(1)), d_y * 0.5, 0.0);
  if (b.wants(0)) b.input(0, where(chosen(b.in(0), b.in(1)), d_y, shared));
  if (b.wants(1)) b.input(1, where(chosen(b.in(1), b.in(0)), d_y, shared));
}
// Where both are equal, or one is NaN, their mean: so that each has half of the gradient.
Values plain_choice(const Plain& p, Value (*chosen)(const Arg&, const Arg&)) {
  const Value &a = p.in[0], &b = p.in[1];
  const Value tied = is_float(a.dtype()) ? a * 0.5 + b * 0.5 : a;
  return where(chosen(a, b), a, where(chosen(b, a), b, tied));
}
std::vector<Sample> choice_samples() {
  std::vector<Sample> samples = with_integers(two_operands(-2, 2));
  samples.push_back({{sample::ties({6, 9}).batched(0), sample::ties({6, 9}).batched(0)}, {}, false});
  return samples;
}
const OpDef& minimum_op() {
  static const OpDef op{
      .name = "minimum",
      .law = "y = min(a, b)",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = numbers,
      .batch = same_axis,
      .backward = [](Backward& b) { choose_backward(b, less); },
      .plain = [](const Plain& p) { return plain_choice(p, less); },
      .traits = in_place_of_any,
      .kernels = binary_kernels<Minimum, float, double, bfloat16, float16, std::int32_t, std::int64_t>(),
      .samples = choice_samples(),
      .bad_samples = bad_pairs,
  };
  return op;
}

// y = max(a, b)    d_a = d_y ([a > b] + [a = b] / 2), d_b = d_y ([b > a] + [a = b] / 2)
const OpDef& maximum_op() {
  static const OpDef op{
      .name = "maximum",
      .law = "y = max(a, b)",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = numbers,
      .batch = same_axis,
      .backward = [](Backward& b) { choose_backward(b, greater); },
      .plain = [](const Plain& p) { return plain_choice(p, greater); },
      .traits = in_place_of_any,
      .kernels = binary_kernels<Maximum, float, double, bfloat16, float16, std::int32_t, std::int64_t>(),
      .samples = choice_samples(),
      .bad_samples = bad_pairs,
  };
  return op;
}

// y = -x           d_x = -d_y
struct Negate {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(-modular(x[i]));
  }
};
const OpDef& negate_op() {
  static const OpDef op{
      .name = "negate",
      .law = "y = -x",
      .infer = numbers,
      .batch = linear_same_axis,
      .backward = [](Backward& b) { b.input(0, -b.cotangent(0)); },
      .reference = law_of([](double x) { return -x; }),
      .terms = adds_up(),
      .traits = in_place,
      .kernels = unary_kernels_of<Negate, float, double, bfloat16, float16, std::int32_t, std::int64_t>(),
      .samples = {{{normal({3, 5}).batched(0)}, {}},
                  {{normal({})}, {}},
                  {{sample::extremes({3, 7000})}, {}, false},
                  {{integers({7}, -9, 9)}, {}, false}},
      .bad_samples = {{{{boolean, {3}}}, {}, "got bool"}},
  };
  return op;
}

// y = |x|          d_x = d_y sign(x)
struct Abs {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = magnitude(x[i]);
  }
};
const OpDef& abs_op() {
  static const OpDef op{
      .name = "abs",
      .law = "y = |x|",
      .infer = numbers,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) * sign(b.in(0))); },
      .reference = law_of([](double x) { return std::fabs(x); }),
      .traits = in_place,
      .kernels = unary_kernels_of<Abs, float, double, bfloat16, float16, std::int32_t, std::int64_t>(),
      .samples = {{{uniform({3, 5}, 0.5, 2).batched(0)}, {}},
                  {{uniform({4}, -2, -0.5)}, {}},
                  {{sample::extremes({3, 7000})}, {}, false},
                  {{integers({7}, -9, 9)}, {}, false}},
      .bad_samples = {{{{boolean, {3}}}, {}, "got bool"}},
  };
  return op;
}

// y = sign(x)      d_x = 0
struct Sign {
  template <class T>
  static void run(const T* x, T* y, std::int64_t n) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] > T(0) ? T(1) : x[i] < T(0) ? T(-1) : x[i] == T(0) ? T(0) : x[i];
  }
};
const OpDef& sign_op() {
  static const OpDef op{
      .name = "sign",
      .law = "y = [x > 0] - [x < 0]",
      .infer = numbers,
      .batch = same_axis,
      .backward = no_gradient,
      .reference = law_of([](double x) { return x > 0   ? 1.0
                                                : x < 0 ? -1.0
                                                        : x; }),
      .traits = in_place,
      .kernels = unary_kernels_of<Sign, float, double, bfloat16, float16, std::int32_t, std::int64_t>(),
      .samples = {{{normal({3, 5}).batched(0)}, {}},
                  {{sample::extremes({3, 7000})}, {}, false},
                  {{integers({7}, -2, 2)}, {}, false}},
      .bad_samples = {{{{boolean, {3}}}, {}, "got bool"}},
  };
  return op;
}

Value add(const Arg& a, const Arg& b) { return build(add_op(), {a, b}); }
Value subtract(const Arg& a, const Arg& b) { return build(subtract_op(), {a, b}); }
Value multiply(const Arg& a, const Arg& b) { return build(multiply_op(), {a, b}); }
Value divide(const Arg& a, const Arg& b) { return build(divide_op(), {a, b}); }
Value pow(const Arg& a, const Arg& b) { return build(pow_op(), {a, b}); }
Value minimum(const Arg& a, const Arg& b) { return build(minimum_op(), {a, b}); }
Value maximum(const Arg& a, const Arg& b) { return build(maximum_op(), {a, b}); }
Value negate(const Arg& x) { return build(negate_op(), {x}); }
Value abs(const Arg& x) { return build(abs_op(), {x}); }
Value sign(const Arg& x) { return build(sign_op(), {x}); }

void register_arithmetic() {
  for (const OpDef* op :
       {&add_op(),           &subtract_op(), &multiply_op(),  &divide_op(),      &pow_op(),        &floor_divide_op(),
        &remainder_op(),     &clamp_op(),    &minimum_op(),   &maximum_op(),     &negate_op(),     &abs_op(),
        &sign_op(),          &equal_op(),    &not_equal_op(), &less_op(),        &less_equal_op(), &greater_op(),
        &greater_equal_op(), &isfinite_op(), &isnan_op(),     &logical_and_op(), &logical_or_op(), &logical_xor_op(),
        &logical_not_op(),   &where_op(),    &cast_op()})
    registry().add(*op);
}

}  // namespace weft
