#include <weft/ops/shape/creation.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/rules.h>

#include <algorithm>
#include <cmath>

namespace weft {
namespace {

void expect_extents(const Shape& shape) {
  for (const Dim& dim : shape) WEFT_CHECK(dim.value() >= 0, "extents must not be negative, got {}", shape.str());
}

// An integer that no double holds is an attribute of its own type.
const std::int64_t* whole_value(const Attributes& attributes) {
  const Attribute* value = attributes.find("value");
  return value == nullptr ? nullptr : std::get_if<std::int64_t>(value);
}
double real_value(const Attributes& attributes) {
  const std::int64_t* whole = whole_value(attributes);
  return whole == nullptr ? attributes.number("value") : static_cast<double>(*whole);
}

template <class T>
void full_kernel(KernelContext& k) {
  const T value = [&] {
    if constexpr (is_narrow<T>) return T(static_cast<float>(real_value(k.attributes())));
    else if constexpr (std::is_same_v<T, std::int64_t>) {
      const std::int64_t* whole = whole_value(k.attributes());
      return whole != nullptr ? *whole : static_cast<T>(real_value(k.attributes()));
    } else {
      return static_cast<T>(real_value(k.attributes()));
    }
  }();
  T* y = k.out<T>(0);
  for_tiles(k.out_type(0).count(),
            [&](std::int64_t begin, std::int64_t n) { std::fill(y + begin, y + begin + n, value); });
}

std::vector<TensorType> infer_full(const OpView& view) {
  const auto types = shape_attribute(view);
  const DType dtype = types.front().dtype;
  const std::int64_t* whole = whole_value(view.attributes);
  const double value = real_value(view.attributes);
  expect_extents(types.front().shape);
  if (whole != nullptr) {
    WEFT_CHECK(dtype == i64, "{} cannot hold {}; hint: i64", name_of(dtype), *whole);
    return types;
  }
  if (dtype == boolean) WEFT_CHECK(value == 0 || value == 1, "a bool is 0 or 1, got {}", value);
  if (is_integer(dtype)) {
    const double limit = dtype == i32 ? 0x1p31 : 0x1p63;
    WEFT_CHECK(value == std::floor(value) && value >= -limit && value < limit, "{} cannot hold {}; hint: cast(x, f32)",
               name_of(dtype), value);
  }
  return types;
}

Attributes filled(DType dtype, Shape shape, const Number& value) {
  Attributes attributes{{"dtype", dtype}, {"shape", std::move(shape)}};
  if (is_integer(dtype) && !value.is_exact_real()) attributes.set("value", value.integer());
  else attributes.set("value", value.real());
  return attributes;
}

}  // namespace

// y[...] = value
const OpDef& full_op() {
  static const OpDef op{
      .name = "full",
      .law = "y = value",
      .least_inputs = 0,
      .most_inputs = 0,
      .infer = infer_full,
      .batch = from_shape,
      .backward = no_gradient,
      .reference =
          [](const OpView& view, std::span<const std::vector<double>>) {
            return std::vector<double>(static_cast<std::size_t>(view.out_type(0).count()), real_value(view.attributes));
          },
      .kernels = {{.dtype = f32, .run = full_kernel<float>},
                  {.dtype = f64, .run = full_kernel<double>},
                  {.dtype = bf16, .run = full_kernel<bfloat16>},
                  {.dtype = f16, .run = full_kernel<float16>},
                  {.dtype = i32, .run = full_kernel<std::int32_t>},
                  {.dtype = i64, .run = full_kernel<std::int64_t>},
                  {.dtype = boolean, .run = full_kernel<bool>}},
      .samples = {{{}, filled(f32, {Dim::named("batch", 4), 3}, 1.5), false},
                  {{}, filled(f64, {}, 0.1), false},
                  {{}, filled(bf16, {3, 7000}, -2), false},
                  {{}, filled(f16, {5}, 0.5), false},
                  {{}, filled(i32, {2, 3}, 7), false},
                  {{}, filled(i64, {2}, -7), false},
                  {{}, filled(i64, {2}, (std::int64_t{1} << 53) + 1), false},
                  {{}, filled(boolean, {2, 2}, 1), false}},
      .bad_samples = {{{}, filled(i64, {2}, 0.5), "cannot hold"},
                      {{}, filled(i32, {2}, (std::int64_t{1} << 53) + 1), "cannot hold"},
                      {{}, filled(boolean, {2}, 2), "0 or 1"},
                      {{}, filled(f32, {2, -1}, 2), "negative"}},
  };
  return op;
}

// y[i] = i, shape [n]
namespace {
template <class T>
void iota_kernel(KernelContext& k) {
  T* y = k.out<T>(0);
  for_tiles(k.out_type(0).count(), [&](std::int64_t begin, std::int64_t n) {
    for (std::int64_t i = begin; i < begin + n; ++i) y[i] = static_cast<T>(i);
  });
}
}  // namespace
const OpDef& iota_op() {
  static const OpDef op{
      .name = "iota",
      .law = "y[i] = i",
      .least_inputs = 0,
      .most_inputs = 0,
      .infer = [](const OpView& view) -> std::vector<TensorType> {
        const auto types = shape_attribute(view);
        expect_extents(types.front().shape);
        WEFT_CHECK(types.front().shape.rank() == 1, "expected one axis, got {}", types.front().shape.str());
        WEFT_CHECK(types.front().dtype != boolean, "a bool cannot count");
        const std::int64_t exact = types.front().dtype == bf16 ? 256 : types.front().dtype == f16 ? 2048 : 1 << 24;
        WEFT_CHECK(
            is_integer(types.front().dtype) || types.front().dtype == f64 || types.front().shape.count() <= exact,
            "{} counts exactly to {}, got {}; hint: i64, then cast", name_of(types.front().dtype), exact,
            types.front().shape.str());
        return types;
      },
      // An example's number says where it stands in the batch.
      .batch = [](const OpView& view, std::span<const BatchState> in) -> std::vector<BatchState> {
        const BatchState state = from_shape(view, in).front();
        return {state.in_shape() ? state.as_mixed() : state};
      },
      .backward = no_gradient,
      .reference =
          [](const OpView& view, std::span<const std::vector<double>>) {
            std::vector<double> y;
            for (std::int64_t i = 0; i < view.out_type(0).count(); ++i) y.push_back(static_cast<double>(i));
            return y;
          },
      .kernels = {{.dtype = f32, .run = iota_kernel<float>},
                  {.dtype = f64, .run = iota_kernel<double>},
                  {.dtype = bf16,
                   .run =
                       [](KernelContext& k) {
                         bfloat16* y = k.out<bfloat16>(0);
                         for (std::int64_t i = 0; i < k.out_type(0).count(); ++i)
                           y[i] = bfloat16(static_cast<float>(i));
                       }},
                  {.dtype = f16,
                   .run =
                       [](KernelContext& k) {
                         float16* y = k.out<float16>(0);
                         for (std::int64_t i = 0; i < k.out_type(0).count(); ++i) y[i] = float16(static_cast<float>(i));
                       }},
                  {.dtype = i32, .run = iota_kernel<std::int32_t>},
                  {.dtype = i64, .run = iota_kernel<std::int64_t>}},
      .samples = {{{}, {{"dtype", i64}, {"shape", Shape{17000}}}, false},
                  {{}, {{"dtype", i32}, {"shape", Shape{1}}}, false},
                  {{}, {{"dtype", f32}, {"shape", Shape{9}}}, false},
                  {{}, {{"dtype", f64}, {"shape", Shape{9}}}, false},
                  {{}, {{"dtype", bf16}, {"shape", Shape{256}}}, false},
                  {{}, {{"dtype", f16}, {"shape", Shape{2048}}}, false}},
      .bad_samples = {{{}, {{"dtype", boolean}, {"shape", Shape{9}}}, "cannot count"},
                      {{}, {{"dtype", bf16}, {"shape", Shape{300}}}, "counts exactly"},
                      {{}, {{"dtype", i64}, {"shape", Shape{3, 3}}}, "one axis"}},
  };
  return op;
}

Value full(Graph graph, Shape shape, DType dtype, Number value, std::source_location where) {
  return graph.apply(full_op(), {}, filled(dtype, std::move(shape), value), where).front();
}

Value iota(Graph graph, Dim n, DType dtype, std::source_location where) {
  return graph.apply(iota_op(), {}, {{"dtype", dtype}, {"shape", Shape{n}}}, where).front();
}

namespace {
Value filled_like(const Arg& x, double value) {
  Graph graph = graph_of({x});
  if (!x.value().valid()) return Value(graph.data(), {});
  return full(graph, x.value().shape(), x.value().dtype(), value, x.where());
}
}  // namespace
Value zeros_like(const Arg& x) { return filled_like(x, 0); }
Value ones_like(const Arg& x) { return filled_like(x, 1); }

void register_creation() {
  for (const OpDef* op : {&full_op(), &iota_op()}) registry().add(*op);
}

}  // namespace weft
