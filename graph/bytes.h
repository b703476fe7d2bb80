// Literals for sizes in bytes: 512_MiB, 3_GiB, 3.2_GiB.
#pragma once

#include <cstdint>

namespace weft {
inline namespace literals {

constexpr std::int64_t operator""_KiB(unsigned long long count) { return static_cast<std::int64_t>(count << 10U); }
constexpr std::int64_t operator""_MiB(unsigned long long count) { return static_cast<std::int64_t>(count << 20U); }
constexpr std::int64_t operator""_GiB(unsigned long long count) { return static_cast<std::int64_t>(count << 30U); }
/// A fraction of a byte is cut off.
constexpr std::int64_t operator""_KiB(long double count) { return static_cast<std::int64_t>(count * 1024.0L); }
constexpr std::int64_t operator""_MiB(long double count) { return static_cast<std::int64_t>(count * 1048576.0L); }
constexpr std::int64_t operator""_GiB(long double count) { return static_cast<std::int64_t>(count * 1073741824.0L); }

}  // namespace literals
}  // namespace weft
