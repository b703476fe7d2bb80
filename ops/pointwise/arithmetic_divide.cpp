// Division that rounds down and what it leaves, and clamp.
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>

#include <weft/ops/index/ids.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/pointwise/activation_op.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace weft {
namespace {

using sample::extremes;
using sample::integers;
using sample::normal;
using sample::uniform;

std::vector<TensorType> numbers(const OpView& view) {
  WEFT_CHECK(view.type(0).dtype != boolean, "operands must be numbers, got {}; hint: cast(x, f32)", view.type(0).str());
  return broadcast_operands(view);
}

// What is left has b's sign.
template <class T>
T remainder_of(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (b == -1) return 0;  // the processor traps on the least integer % -1
    const T rest = static_cast<T>(a % b);
    return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
  } else {
    const T rest = std::fmod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  }
}

template <class T>
T floor_quotient(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (b == -1) return static_cast<T>(-static_cast<std::make_unsigned_t<T>>(a));  // the least integer wraps
    const T quotient = static_cast<T>(a / b), rest = static_cast<T>(a % b);
    return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(quotient - 1) : quotient;
  } else {
    if (b == 0) return a / b;
    // a less what is left is a multiple of b but for rounding: floor(a / b) alone would be wrong for 1 and 0.1.
    T rest = std::fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
    if (quotient == 0) return std::copysign(T(0), a / b);
    const T whole = std::floor(quotient);
    return quotient - whole > T(0.5) ? whole + 1 : whole;
  }
}

struct FloorDivide {
  template <class T>
  static T apply(T a, T b) {
    return floor_quotient(a, b);
  }
};
struct Remainder {
  template <class T>
  static T apply(T a, T b) {
    return remainder_of(a, b);
  }
};

// As binary_kernels, after a look at the divisors.
template <class F, class T>
BoundKernel bind_integer_division(const OpView& view) {
  return [kernel = bind_binary<F, T, T>(view)](KernelContext& k) {
    const TensorType& type = k.type(1);
    const T* b = k.in<T>(1);
    const T* zero = std::find(b, b + type.count(), T(0));
    if (k.out_type(0).count() > 0 && zero != b + type.count())
      WEFT_FAIL("integer division by 0: the divisor is 0 at [{}]; hint: where(equal(b, 0), 1, b)",
                place_of(type.shape, zero - b));
    kernel(k);
  };
}
template <class F>
std::vector<Kernel> division_kernels() {
  std::vector<Kernel> kernels = binary_kernels<F, float, double, bfloat16, float16>();
  kernels.push_back({.dtype = i32, .bind = bind_integer_division<F, std::int32_t>});
  kernels.push_back({.dtype = i64, .bind = bind_integer_division<F, std::int64_t>});
  return kernels;
}

// In extended precision a quotient of doubles that is not whole is never rounded to a whole one.
double floor_of_quotient(double a, double b) {
  if (!std::isfinite(a)) return std::nan("");
  return static_cast<double>(std::floor(static_cast<long double>(a) / b));
}
double rest_of_quotient(double a, double b) {
  return static_cast<double>(a - b * static_cast<long double>(floor_of_quotient(a, b)));
}

// Away from whole quotients, where the laws jump.
std::vector<Sample> divisions() {
  return {{{uniform({3, 5}, 2.1, 2.9).batched(0), uniform({3, 5}, 0.95, 1.04).batched(0)}, {}},
          {{uniform({4, 3, 5}, -2.9, -2.1).batched(0), uniform({5}, 0.97, 1.02)}, {}},
          {{uniform({5}, 2.1, 2.9), uniform({4, 3, 1}, -1.04, -0.97).batched(0)}, {}},
          {{uniform({}, 0.1, 0.9), uniform({}, 1, 2)}, {}},
          {{normal({7, 2500}, 0, 9), uniform({7, 1}, 0.3, 1.7)}, {}, false},
          {{extremes({3, 30}), uniform({3, 30}, 0.5, 2)}, {}, false},
          {{integers({3, 40}, -9, 9).batched(0), integers({40}, 1, 5)}, {}, false},
          {{integers({40}, -9, 9).as(i32), integers({3, 1}, -4, 0).as(i32)}, {}, false}};
}
const std::vector<BadSample> bad_pairs{{{{f32, {3, 4}}, {f32, {3}}}, {}, "do not broadcast"},
                                       {{{i64, {3}}, {i32, {3}}}, {}, "cast"},
                                       {{{boolean, {3}}, {boolean, {3}}}, {}, "got bool"}};
const Traits rounded_quotient{.pointwise = true, .cheap = false, .refuses = true, .in_place = {{0, 0}, {0, 1}}};

}  // namespace

// y = floor(a / b)             d_a = 0, d_b = 0
const OpDef& floor_divide_op() {
  static const OpDef op{
      .name = "floor_divide",
      .law = "y = floor(a / b)",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = numbers,
      .batch = same_axis,
      .backward = no_gradient,
      .reference = law_of(floor_of_quotient),
      .traits = rounded_quotient,
      .kernels = division_kernels<FloorDivide>(),
      .samples = divisions(),
      .bad_samples = bad_pairs,
  };
  return op;
}

// y = a - b floor(a / b)       d_a = d_y, d_b = -d_y floor(a / b)
const OpDef& remainder_op() {
  static const OpDef op{
      .name = "remainder",
      .law = "y = a - b floor(a / b)",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = numbers,
      .batch = same_axis,
      .backward =
          [](Backward& b) {
            b.input(0, b.cotangent(0));
            if (b.wants(1)) b.input(1, -(b.cotangent(0) * floor_divide(b.in(0), b.in(1))));
          },
      .reference = law_of(rest_of_quotient),
      .traits = rounded_quotient,
      .kernels = division_kernels<Remainder>(),
      .samples = divisions(),
      .bad_samples = bad_pairs,
  };
  return op;
}

// --- clamp: y = min(max(x, low), high); d_x = d_y [low <= x <= high] ---

namespace {

double bound(const Attributes& attributes, const char* name, double otherwise) {
  return attributes.get_or<double>(name, otherwise);
}

struct Clamp {
  template <class T>
  static constexpr auto run = &Simd<T>::clamp;
  static CurveParameters parameters(const Attributes& a) {
    constexpr double inf = std::numeric_limits<double>::infinity();
    return {bound(a, "min", -inf), bound(a, "max", inf)};
  }
};

template <class T>
void clamp_integers(KernelContext& k) {
  const Attributes& a = k.attributes();
  const T low = a.has("min") ? static_cast<T>(a.number("min")) : std::numeric_limits<T>::min();
  const T high = a.has("max") ? static_cast<T>(a.number("max")) : std::numeric_limits<T>::max();
  const T* x = k.in<T>(0);
  T* y = k.out<T>(0);
  for_tiles(k.out_type(0).count(), [&](std::int64_t begin, std::int64_t n) {
#pragma GCC ivdep
    for (std::int64_t i = begin; i < begin + n; ++i) y[i] = std::min(std::max(x[i], low), high);
  });
}

std::vector<Kernel> clamp_kernels() {
  std::vector<Kernel> kernels = activation_kernels<Clamp>();
  kernels.push_back({.dtype = i32, .run = clamp_integers<std::int32_t>});
  kernels.push_back({.dtype = i64, .run = clamp_integers<std::int64_t>});
  return kernels;
}

std::vector<TensorType> infer_clamp(const OpView& view) {
  const Attributes& a = view.attributes;
  WEFT_CHECK(a.has("min") || a.has("max"), "clamp needs a bound: expected min, max or both, got none");
  const std::vector<TensorType> types = numbers(view);
  for (const char* name : {"min", "max"}) {
    if (!a.has(name)) continue;
    const double value = a.number(name);
    WEFT_CHECK(value == value, "the bound {} is NaN", name);
    if (!is_integer(types[0].dtype)) continue;
    const double limit = types[0].dtype == i32 ? 0x1p31 : 0x1p63;
    WEFT_CHECK(value == std::floor(value) && value >= -limit && value < limit,
               "the bound {} = {} is no {}; hint: cast(x, f32)", name, value, name_of(types[0].dtype));
  }
  return types;
}

Attributes clamp_attributes(const ClampOptions& options) {
  Attributes attributes;
  if (options.min) attributes.set("min", *options.min);
  if (options.max) attributes.set("max", *options.max);
  return attributes;
}

Values clamp_plain(const Plain& p) {
  Value y = p.in[0];
  if (p.attributes.has("min")) y = maximum(y, p.attributes.number("min"));
  if (p.attributes.has("max")) y = minimum(y, p.attributes.number("max"));
  return y;
}

void clamp_backward(Backward& b) {
  Value inside;
  if (b.attributes().has("min")) inside = greater_equal(b.in(0), b.attributes().number("min"));
  if (b.attributes().has("max")) {
    const Value below = less_equal(b.in(0), b.attributes().number("max"));
    inside = inside.valid() ? logical_and(inside, below) : below;
  }
  b.input(0, where(inside, b.cotangent(0), 0.0));
}

}  // namespace

const OpDef& clamp_op() {
  const auto both = [] { return clamp_attributes({.min = -1, .max = 2}); };
  static const OpDef op{
      .name = "clamp",
      .law = "y = min(max(x, min), max)",
      .infer = infer_clamp,
      .batch = same_axis,
      .backward = clamp_backward,
      .plain = clamp_plain,
      .terms = [](const OpView& view) -> std::vector<Term> {
        const CurveParameters p = Clamp::parameters(view.attributes);
        return {{.inner = {{0}}, .adds = p[0] <= 0 && p[1] >= 0 ? 0 : -1}};
      },
      .traits = {.pointwise = true, .in_place = {{0, 0}}},
      .kernels = clamp_kernels(),
      .samples = {{{uniform({3, 5}, -0.9, 1.9).batched(0)}, both()},
                  {{uniform({2, 4, 9}, 2.1, 3).batched(1)}, both()},
                  {{uniform({4}, -3, -1.1)}, clamp_attributes({.min = -1})},
                  {{uniform({}, -3, 1.9)}, clamp_attributes({.max = 2})},
                  {{uniform({3}, -3, 3)}, clamp_attributes({.min = 5, .max = 4})},
                  {{extremes({2, 9000})}, both(), false},
                  {{extremes({2, 40})}, clamp_attributes({.max = 0.5}), false},
                  {{integers({7, 3}, -9, 9).batched(0)}, both(), false},
                  {{integers({40}, -9, 9).as(i32)}, clamp_attributes({.min = 3}), false}},
      .bad_samples = {{{{f32, {3}}}, {}, "clamp needs a bound"},
                      {{{i64, {3}}}, clamp_attributes({.min = 0.5}), "the bound min = 0.5 is no i64"},
                      {{{i32, {3}}}, clamp_attributes({.max = 1e10}), "is no i32"},
                      {{{f32, {3}}}, clamp_attributes({.max = std::nan("")}), "is NaN"},
                      {{{boolean, {3}}}, clamp_attributes({.max = 1}), "got bool"}},
  };
  return op;
}

Value floor_divide(const Arg& a, const Arg& b) { return build(floor_divide_op(), {a, b}); }
Value remainder(const Arg& a, const Arg& b) { return build(remainder_op(), {a, b}); }
Value clamp(const Arg& x, const ClampOptions& options) { return build(clamp_op(), {x}, clamp_attributes(options)); }

}  // namespace weft
