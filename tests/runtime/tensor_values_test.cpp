#include <weft/runtime/tensor_values.h>

#include <support/catch.h>

#include <limits>

namespace weft {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

Tensor of(std::initializer_list<double> values, DType dtype = f32) {
  const std::vector<double> list(values);
  return Tensor::of<double>({static_cast<std::int64_t>(list.size())}, std::span(list)).cast(dtype);
}

}  // namespace

TEST_CASE("a tensor of any type is read as doubles", "[core][runtime]") {
  const std::vector<double> whole{-3, 0, 2, 96};
  for (const DType dtype : {f32, f64, bf16, f16, i32, i64}) {
    const Tensor tensor = of({-3, 0, 2, 96}, dtype);
    CHECK(doubles(tensor) == whole);
    CHECK(doubles(tensor.reshaped({2, 2})) == whole);
    CHECK(is_finite(tensor));
    CHECK(max_abs(tensor) == 96);
    CHECK(max_abs_difference(tensor, of({-3, 0.5, 2, 95})) == 1);
    const Spread spread = spread_of(tensor);
    CHECK((spread.least == -3 && spread.most == 96 && spread.finite == 4));
  }
  CHECK(doubles(of({1, 0}, boolean)) == std::vector<double>{1, 0});
  CHECK(max_abs(Tensor::scalar(-2.5)) == 2.5);
}

TEST_CASE("numbers that are not finite are counted and left out", "[core][runtime]") {
  for (const DType dtype : {f32, f64, bf16, f16}) {
    const Tensor tensor = of({1, nan, -infinity, -4, infinity}, dtype);
    CHECK_FALSE(is_finite(tensor));
    CHECK(max_abs(tensor) == 4);
    const Spread spread = spread_of(tensor);
    CHECK((spread.least == -4 && spread.most == 1));
    CHECK((spread.finite == 2 && spread.nan == 1 && spread.infinite == 2));
    CHECK(max_abs_difference(tensor, of({1, infinity, nan, -4.5, infinity}, dtype)) == 0.5);
    CHECK(max_abs_difference(tensor, of({1, 0, nan, -4, infinity}, dtype)) == infinity);
    CHECK(max_abs_difference(of({1, 0, nan, -4, infinity}, dtype), tensor) == infinity);
  }
}

TEST_CASE("of no numbers at all", "[core][runtime]") {
  for (const Tensor& tensor : {Tensor(f32, {0, 3}), Tensor(f64, {0})}) {
    CHECK(doubles(tensor).empty());
    CHECK(is_finite(tensor));
    CHECK(max_abs(tensor) == 0);
    CHECK(max_abs_difference(tensor, tensor) == 0);
    CHECK(spread_of(tensor).finite == 0);
  }
  const Tensor none = of({nan, infinity});
  CHECK(max_abs(none) == 0);
  CHECK((spread_of(none).least == 0 && spread_of(none).most == 0 && spread_of(none).finite == 0));
}

TEST_CASE("tensors of different sizes have no difference", "[core][runtime]") {
  CHECK_THROWS_WITH(max_abs_difference(of({1, 2}), of({1, 2, 3})),
                    "max_abs_difference: f32[2] and f32[3] have different numbers of elements");
}

}  // namespace weft
