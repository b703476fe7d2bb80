#include <weft/graph/dtype.h>

namespace weft {

std::string_view name_of(DType type) {
  switch (type) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "f16";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::boolean:
      return "bool";
  }
  return "?";
}

// GCC 12 has _Float16 on x86-64: the compiler's own conversion rounds to nearest even.
float16::float16(float value) : bits(std::bit_cast<std::uint16_t>(static_cast<_Float16>(value))) {}

// The other way it calls a function of libgcc that took most of a training step in f16.
float16::operator float() const {
  const std::uint32_t sign = (bits & 0x8000U) << 16U, rest = bits & 0x7fffU;
  std::uint32_t wide = 0;
  if (rest < 0x400U) wide = std::bit_cast<std::uint32_t>(static_cast<float>(rest) * 0x1p-24F);
  else if (rest < 0x7c00U) wide = (rest << 13U) + (112U << 23U);
  else wide = 0x7f800000U | (rest & 0x3ffU) << 13U | (rest > 0x7c00U ? 0x400000U : 0U);
  return std::bit_cast<float>(wide | sign);
}

}  // namespace weft
