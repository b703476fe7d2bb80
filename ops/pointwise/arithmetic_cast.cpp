#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>

#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/rules.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace weft {
namespace {

template <class To, class From>
To convert(From x) {
  if constexpr (is_narrow<From>) {
    return convert<To>(static_cast<float>(x));
  } else if constexpr (is_narrow<To>) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    // 2^31 and 2^63 are exact in every floating type, the largest integers are not.
    constexpr From limit = From(2) * static_cast<From>(std::numeric_limits<To>::max() / 2 + 1);
    if (x != x) return 0;
    if (x >= limit) return std::numeric_limits<To>::max();
    if (x < -limit) return std::numeric_limits<To>::min();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

// The four types differ in size from operand to output: no buffer is shared, so the loops vectorise as they are.
template <class From>
void cast_kernel(KernelContext& k) {
  const From* x = k.in<From>(0);
  visit_dtype(k.out_type(0).dtype, [&]<class To>(To) {
    To* y = k.out<To>(0);
    for_tiles(k.type(0).count(), [&](std::int64_t begin, std::int64_t n) {
      if constexpr (is_narrow<From> && std::is_same_v<To, float>) widen(x + begin, y + begin, n);
      else if constexpr (is_narrow<To> && std::is_same_v<From, float>) narrow(x + begin, y + begin, n);
      else
        for (std::int64_t i = begin; i < begin + n; ++i) y[i] = convert<To>(x[i]);
    });
  });
}

// To the nearest number of `bits` significant bits, of two the even one; below 2^least the spacing stays.
double rounded(double x, int bits, int least, double largest) {
  if (x == 0 || !std::isfinite(x)) return x;
  const double spacing = std::ldexp(1.0, std::max(std::ilogb(x), least) - (bits - 1));
  const double y = std::nearbyint(x / spacing) * spacing;
  return std::fabs(y) > largest ? std::copysign(std::numeric_limits<double>::infinity(), x) : y;
}

double cast_number(double x, DType dtype) {
  const auto near = [](double value) { return static_cast<double>(static_cast<float>(value)); };
  const double limit = dtype == i32 ? 0x1p31 : 0x1p63;
  switch (dtype) {
    case DType::f64:
      return x;
    case DType::f32:
      return near(x);
    case DType::bf16:
      return rounded(near(x), 8, -126, 0x1.fep127);
    case DType::f16:
      return rounded(near(x), 11, -14, 65504);
    case DType::boolean:
      return x == 0 ? 0 : 1;
    default:
      return x != x ? 0 : std::clamp(std::trunc(x), -limit, limit - (dtype == i32 ? 1 : 0));
  }
}

std::vector<double> cast_reference(const OpView& view, std::span<const std::vector<double>> in) {
  std::vector<double> y;
  for (const double x : in[0]) y.push_back(cast_number(x, view.out_type(0).dtype));
  return y;
}

Sample to(const SampleInput& x, DType dtype) { return {{x}, {{"dtype", dtype}}, is_float(dtype)}; }

}  // namespace

// y = x, rounded to dtype        d_x = d_y, rounded to x's dtype
const OpDef& cast_op() {
  static const OpDef op{
      .name = "cast",
      .law = "y = x as dtype",
      .infer = [](const OpView& view) -> std::vector<TensorType> {
        return {{view.attributes.dtype("dtype"), view.shape(0)}};
      },
      .batch = linear_same_axis,
      .backward =
          [](Backward& b) {
            if (is_float(b.in(0).dtype())) b.input(0, cast(b.cotangent(0), b.in(0).dtype()));
          },
      .reference = cast_reference,
      .terms = [](const OpView& view) -> std::vector<Term> {
        const bool numbers = is_float(view.out_type(0).dtype) && view.type(0).dtype != boolean;
        return numbers ? std::vector<Term>{{.factors = {0}, .adds = 0}} : std::vector<Term>{};
      },
      .traits = {.pointwise = true},
      .kernels = {{.dtype = f32, .run = cast_kernel<float>},
                  {.dtype = f64, .run = cast_kernel<double>},
                  {.dtype = bf16, .run = cast_kernel<bfloat16>},
                  {.dtype = f16, .run = cast_kernel<float16>},
                  {.dtype = i32, .run = cast_kernel<std::int32_t>},
                  {.dtype = i64, .run = cast_kernel<std::int64_t>},
                  {.dtype = boolean, .run = cast_kernel<bool>}},
      .samples = {to(sample::normal({3, 5}).batched(0), f64),
                  {{sample::normal({3, 5}).batched(0)}, {{"dtype", f32}}, false},
                  {{sample::extremes({2, 9000})}, {{"dtype", bf16}}, false},
                  {{sample::extremes({2, 9000})}, {{"dtype", f16}}, false},
                  to(sample::extremes({2, 30}), i32),
                  to(sample::extremes({2, 30}), i64),
                  to(sample::extremes({2, 30}), boolean),
                  {{sample::integers({7}, -5, 5)}, {{"dtype", f32}}, false},
                  {{sample::booleans({7}).batched(0)}, {{"dtype", f32}}, false}},
      .bad_samples = {},
  };
  return op;
}

Value cast(const Arg& x, DType dtype) {
  if (!x.is_number() && x.value().valid() && x.value().dtype() == dtype) return x.value();
  return build(cast_op(), {x}, {{"dtype", dtype}});
}

}  // namespace weft
