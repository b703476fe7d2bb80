#include <weft/ops/arithmetic.h>

#include <weft/ops/build.h>
#include <weft/ops/pointwise.h>
#include <weft/ops/rules.h>

#include <limits>

namespace weft {
namespace {

template <class To, class From>
To convert(From x) {
  if constexpr (is_half<From>) {
    return convert<To>(static_cast<float>(x));
  } else if constexpr (is_half<To>) {
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
      if constexpr (is_half<From> && std::is_same_v<To, float>) widen(x + begin, y + begin, n);
      else if constexpr (is_half<To> && std::is_same_v<From, float>) narrow(x + begin, y + begin, n);
      else
        for (std::int64_t i = begin; i < begin + n; ++i) y[i] = convert<To>(x[i]);
    });
  });
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
      .backward = [](Backward& b) {
        if (is_float(b.in(0).dtype())) b.input(0, cast(b.cotangent(0), b.in(0).dtype()));
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
                  to(sample::extremes({2, 30}), i32), to(sample::extremes({2, 30}), i64),
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
