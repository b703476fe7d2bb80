#include <weft/runtime/tensor.h>

#include <support/catch.h>

#include <cstdint>

namespace weft {

TEST_CASE("a new tensor is zero and aligned", "[core][runtime]") {
  for (const DType type : {f32, f64, bf16, f16, i32, i64, boolean}) {
    const Tensor tensor(type, {3, 5});
    CHECK(tensor.bytes() == 15 * size_of(type));
    CHECK(reinterpret_cast<std::uintptr_t>(tensor.raw()) % alignment == 0);
    for (std::int64_t i = 0; i < tensor.size(); ++i) CHECK(tensor.at(i) == 0.0);
  }
}

TEST_CASE("a scalar has rank zero and one element, an empty tensor has none", "[core][runtime]") {
  const Tensor scalar = Tensor::scalar(2.5);
  CHECK(scalar.rank() == 0);
  CHECK(scalar.size() == 1);
  CHECK(scalar.item() == 2.5);
  const Tensor none(f32, {0, 4});
  CHECK(none.size() == 0);
  CHECK(none.clone().size() == 0);
  CHECK(same_bits(none, none.clone()));
}

TEST_CASE("extents count from either end", "[core][runtime]") {
  const Tensor tensor(f32, {2, 3, 4});
  CHECK(tensor.extent(0) == 2);
  CHECK(tensor.extent(-1) == 4);
  CHECK_THROWS(tensor.extent(3));
  CHECK_THROWS_WITH(tensor.extent(3), "axis 3 is outside a tensor of rank 3: f32[2, 3, 4]");
  CHECK_THROWS_WITH(tensor.extent(-4), "axis -4 is outside a tensor of rank 3: f32[2, 3, 4]");
  CHECK_THROWS_AS(Tensor::scalar(1).extent(0), UserError);
}

TEST_CASE("a clone shares nothing, a view shares everything", "[core][runtime]") {
  Tensor tensor = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor clone = tensor.clone();
  const Tensor flat = tensor.reshaped({6});
  const Tensor last = tensor.rows(1, 2);
  tensor.data<float>()[3] = 40;
  CHECK(clone.at(3) == 4);
  CHECK(flat.at(3) == 40);
  CHECK(last.at(0) == 40);
  CHECK(last.extents() == Tensor::Extents{1, 3});
}

TEST_CASE("a view keeps the buffer alive after its tensor is gone", "[core][runtime]") {
  Tensor view;
  {
    const Tensor tensor = Tensor::of<std::int32_t>({4}, {1, 2, 3, 4});
    view = tensor.rows(2, 4);
  }
  CHECK(view.at(1) == 4);
}

TEST_CASE("casting to a wider type and back changes no bit", "[core][runtime]") {
  const Tensor tensor = Tensor::of<float>({4}, {1.5F, -0.0F, 1e-40F, 3e38F});
  CHECK(same_bits(tensor, tensor.cast(f64).cast(f32)));
  const Tensor halves = tensor.cast(bf16);
  CHECK(same_bits(halves, halves.cast(f32).cast(bf16)));
  const Tensor big = Tensor::of<std::int32_t>({2}, {INT32_MAX, INT32_MIN});
  CHECK(same_bits(big, big.cast(i64).cast(i32)));
  CHECK(Tensor::of<float>({2}, {0.0F, 0.25F}).cast(boolean).at(1) == 1.0);
}

TEST_CASE("same_bits tells zeros, types and shapes apart", "[core][runtime]") {
  const Tensor zero = Tensor::of<float>({2}, {0.0F, 0.0F});
  CHECK(same_bits(zero, zero.clone()));
  CHECK_FALSE(same_bits(zero, Tensor::of<float>({2}, {0.0F, -0.0F})));
  CHECK_FALSE(same_bits(zero, Tensor(i32, {2})));
  CHECK_FALSE(same_bits(zero, zero.reshaped({1, 2})));
}

TEST_CASE("a tensor refuses what does not fit", "[core][runtime][errors]") {
  Tensor tensor = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  CHECK_THROWS_WITH(tensor.data<double>(), ContainsSubstring("f32") && ContainsSubstring("f64"));
  CHECK_THROWS_WITH(Tensor::of<float>({2}, {1, 2, 3}), ContainsSubstring("2 elements"));
  CHECK_THROWS_WITH(Tensor(f32, {2, -1}), ContainsSubstring("-1"));
  CHECK_THROWS_WITH(Tensor(f32, {1LL << 40, 1LL << 40}), ContainsSubstring("too many"));
  CHECK_THROWS_WITH(tensor.item(), ContainsSubstring("6"));
  CHECK_THROWS_AS(tensor.at(6), UserError);
  CHECK_THROWS_AS(tensor.at(-1), UserError);
  CHECK_THROWS_AS(tensor.reshaped({4}), UserError);
  CHECK_THROWS_AS(tensor.rows(1, 3), UserError);
  CHECK_THROWS_AS(tensor.rows(2, 1), UserError);
}

}  // namespace weft
