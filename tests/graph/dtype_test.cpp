#include <weft/graph/dtype.h>
#include <weft/graph/error.h>

#include <support/catch.h>

#include <cmath>
#include <limits>

namespace weft {
namespace {

float through_bf16(float value) { return static_cast<float>(bfloat16(value)); }
float through_f16(float value) { return static_cast<float>(float16(value)); }

}  // namespace

TEST_CASE("every bf16 value survives the way through f32", "[core][graph]") {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    bfloat16 value;
    value.bits = static_cast<std::uint16_t>(bits);
    const float wide = static_cast<float>(value);
    if (std::isnan(wide)) {
      CHECK(std::isnan(through_bf16(wide)));
    } else if (bfloat16(wide) != value) {
      FAIL("bits " << bits);
    }
  }
}

TEST_CASE("every f16 value survives the way through f32", "[core][graph]") {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    float16 value;
    value.bits = static_cast<std::uint16_t>(bits);
    const float wide = static_cast<float>(value);
    if (std::isnan(wide)) {
      CHECK(std::isnan(through_f16(wide)));
    } else if (float16(wide) != value) {
      FAIL("bits " << bits);
    }
  }
}

TEST_CASE("an f16 is widened as the compiler widens it, to the bit", "[core][graph]") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    float16 narrow;
    narrow.bits = static_cast<std::uint16_t>(bits);
    const auto expected = static_cast<float>(std::bit_cast<_Float16>(narrow.bits));
    if (std::bit_cast<std::uint32_t>(static_cast<float>(narrow)) != std::bit_cast<std::uint32_t>(expected)) {
      INFO("f16 of bits " << bits << " is " << expected);
      CHECK(static_cast<float>(narrow) == expected);
    }
  }
}

TEST_CASE("rounding to two bytes goes to the nearest, and ties go to even", "[core][graph]") {
  const float ulp_bf16 = std::ldexp(1.0F, -7);
  CHECK(through_bf16(1.0F + 0.49F * ulp_bf16) == 1.0F);
  CHECK(through_bf16(1.0F + 0.5F * ulp_bf16) == 1.0F);
  CHECK(through_bf16(1.0F + 1.5F * ulp_bf16) == 1.0F + 2.0F * ulp_bf16);
  CHECK(through_bf16(1.0F + 0.51F * ulp_bf16) == 1.0F + ulp_bf16);

  const float ulp_f16 = std::ldexp(1.0F, -10);
  CHECK(through_f16(1.0F + 0.5F * ulp_f16) == 1.0F);
  CHECK(through_f16(1.0F + 1.5F * ulp_f16) == 1.0F + 2.0F * ulp_f16);
}

TEST_CASE("what two bytes cannot hold becomes infinite, zero, or stays not a number", "[core][graph]") {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(through_bf16(std::numeric_limits<float>::max()) == infinity);
  CHECK(through_bf16(-infinity) == -infinity);
  CHECK(std::isnan(through_bf16(std::numeric_limits<float>::quiet_NaN())));
  CHECK(through_f16(65504.0F) == 65504.0F);
  CHECK(through_f16(65520.0F) == infinity);
  CHECK(through_f16(std::ldexp(1.0F, -24)) == std::ldexp(1.0F, -24));
  CHECK(through_f16(std::ldexp(1.0F, -25)) == 0.0F);
  CHECK(std::signbit(through_f16(-0.0F)));
}

TEST_CASE("each element type has its size and its name", "[core][graph]") {
  CHECK(size_of(dtype_of<float>) == sizeof(float));
  CHECK(size_of(dtype_of<double>) == sizeof(double));
  CHECK(size_of(dtype_of<bfloat16>) == sizeof(bfloat16));
  CHECK(size_of(dtype_of<float16>) == sizeof(float16));
  CHECK(size_of(dtype_of<std::int32_t>) == sizeof(std::int32_t));
  CHECK(size_of(dtype_of<std::int64_t>) == sizeof(std::int64_t));
  CHECK(size_of(dtype_of<bool>) == sizeof(bool));
  CHECK(name_of(bf16) == "bf16");
  CHECK(name_of(boolean) == "bool");
}

TEST_CASE("the two families of errors say what is wrong, and an internal one says where", "[core][graph]") {
  const auto check = [](int rank) { WEFT_CHECK(rank == 2, "expected rank {}, got {}", 2, rank); };
  CHECK_NOTHROW(check(2));
  CHECK_THROWS_AS(check(3), UserError);
  CHECK_THROWS_WITH(check(3), "expected rank 2, got 3");

  const auto invariant = [](int rank) { WEFT_INVARIANT(rank == 2, "rank {}", rank); };
  CHECK_NOTHROW(invariant(2));
  CHECK_THROWS_AS(invariant(3), InternalError);
  CHECK_THROWS_WITH(invariant(3), ContainsSubstring("rank == 2") && ContainsSubstring("rank 3") &&
                                      ContainsSubstring("dtype_test.cpp"));
}

}  // namespace weft
