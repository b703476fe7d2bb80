#include <weft/graph/dtype.h>

namespace weft {

std::string_view name_of(DType type) {
  switch (type) {
    case DType::f32: return "f32";
    case DType::f64: return "f64";
    case DType::bf16: return "bf16";
    case DType::f16: return "f16";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
    case DType::boolean: return "bool";
  }
  return "?";
}

// GCC 12 has _Float16 on x86-64: the compiler's own conversions are exact and round to nearest even.
float16::float16(float value) : bits(std::bit_cast<std::uint16_t>(static_cast<_Float16>(value))) {}
float16::operator float() const { return static_cast<float>(std::bit_cast<_Float16>(bits)); }

}  // namespace weft
