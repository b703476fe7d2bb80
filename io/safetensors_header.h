// The JSON text at the head of a safetensors file. Private to io/.
#pragma once

#include <weft/graph/error.h>
#include <weft/io/safetensors.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace weft {

inline constexpr std::uint64_t most_header_bytes = 100'000'000;  // the format's own bound
inline constexpr std::string_view metadata_key = "__metadata__";

std::string_view name_in_file(DType type);  ///< "F32"

template <class... T>
[[noreturn]] void fail_safetensors(const std::string& file, fmt::format_string<T...> text, T&&... args) {
  std::string what = fmt::format(text, std::forward<T>(args)...);
  constexpr std::size_t most_shown = 400;  // a damaged header may quote millions of bytes
  if (what.size() > most_shown) what.replace(most_shown, std::string::npos, "...");
  WEFT_FAIL("'{}' is not a sound safetensors file: {}", file, what);
}

/// The header of a file named `file` with so many bytes of data behind it. Takes time and memory in proportion to the
/// text: anything that cannot stand in a header is refused where it begins.
SafetensorsHeader parse_safetensors_header(const std::string& text, std::uint64_t data_bytes, const std::string& file);

}  // namespace weft
