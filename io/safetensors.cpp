#include <weft/io/atomic_file.h>
#include <weft/io/safetensors.h>
#include <weft/io/safetensors_header.h>
#include <weft/io/text.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

static_assert(std::endian::native == std::endian::little, "safetensors is little endian, and so are weft's machines");

namespace weft {
namespace {

constexpr std::uint64_t length_bytes = 8;

// Messages begin with the file's name.
struct Reader {
  std::istream& in;
  std::uint64_t size;
  std::string name;

  template <class... T>
  [[noreturn]] void fail(fmt::format_string<T...> text, T&&... args) const {
    fail_safetensors(name, text, std::forward<T>(args)...);
  }
  void read(void* to, std::uint64_t bytes) const {
    in.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
    if (static_cast<std::uint64_t>(in.gcount()) != bytes) fail("it ends early");
  }
};

// In the order of their bytes.
using Entries = std::map<std::string, SafetensorsHeader::Entry>;
std::vector<const Entries::value_type*> by_offset(const Entries& entries) {
  std::vector<const Entries::value_type*> sorted;
  sorted.reserve(entries.size());
  for (const auto& entry : entries) sorted.push_back(&entry);
  std::ranges::stable_sort(sorted, {},
                           [](const auto* entry) { return std::pair(entry->second.begin, entry->second.end); });
  return sorted;
}

SafetensorsHeader read_header(const Reader& reader) {
  if (reader.size < length_bytes) reader.fail("it has {} bytes, less than the length of a header", reader.size);
  std::uint64_t length = 0;
  reader.read(&length, length_bytes);
  if (length > most_header_bytes)
    reader.fail("its header would have {} bytes, at most {} are allowed", length, most_header_bytes);
  if (length > reader.size - length_bytes)
    reader.fail("its header would have {} bytes, the file has {}; it may be cut off", length, reader.size);
  std::string text(length, '\0');
  reader.read(text.data(), length);

  const std::uint64_t data_begin = length_bytes + length;
  const std::uint64_t data_bytes = reader.size - data_begin;
  SafetensorsHeader header = parse_safetensors_header(text, data_bytes, reader.name);
  header.data_begin = data_begin;
  std::uint64_t at = 0;
  for (const auto* named : by_offset(header.entries)) {
    const auto& [name, entry] = *named;
    if (entry.begin < at)
      reader.fail("'{}' begins at byte {} inside the tensor before it, which ends at {}", name, entry.begin, at);
    if (entry.begin > at) reader.fail("bytes {} to {} of its data belong to no tensor", at, entry.begin);
    at = entry.end;
  }
  if (at != data_bytes) reader.fail("its tensors have {} bytes, the file holds {}", at, data_bytes);
  return header;
}

Safetensors read_all(const Reader& reader) {
  SafetensorsHeader header = read_header(reader);
  Safetensors contents;
  contents.metadata = std::move(header.metadata);
  for (const auto* named : by_offset(header.entries)) {  // no holes: in order, the bytes follow each other
    const auto& [name, entry] = *named;
    Tensor tensor(entry.dtype, entry.extents);
    reader.read(tensor.raw(), tensor.bytes());
    if (entry.dtype == boolean)
      for (std::size_t i = 0; i < tensor.bytes(); ++i)
        if (std::to_integer<unsigned>(tensor.raw()[i]) > 1)
          reader.fail("'{}' is BOOL and holds a byte that is neither 0 nor 1", name);
    contents.tensors.emplace(name, std::move(tensor));
  }
  return contents;
}

template <class Read>
auto read_file(const std::string& path, Read read) {
  std::error_code error;
  WEFT_CHECK(std::filesystem::is_regular_file(path, error), "there is no file '{}'", path);
  const std::uint64_t size = std::filesystem::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  WEFT_CHECK(in.is_open() && !error, "'{}' cannot be opened: {}", path, std::strerror(errno));
  return read(Reader{in, size, path});
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_at(text, at).length;
    if (length == 0) return false;
    at += length;
  }
  return true;
}

// As JSON; for messages too, where what is not UTF-8 shows as U+FFFD.
std::string as_json(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void expect_savable(const std::string& path, const Safetensors& contents) {
  for (const auto& [name, tensor] : contents.tensors) {
    expect_tensor_name(name);
    WEFT_CHECK(!tensor.empty(), "cannot write '{}': '{}' is no tensor: it is Tensor() or was moved from", path, name);
  }
  for (const auto& [key, note] : contents.metadata)
    WEFT_CHECK(is_utf8(key) && is_utf8(note), "cannot write '{}': the note {} is not UTF-8", path, as_json(key));
}

}  // namespace

Safetensors read_safetensors(const std::string& path) { return read_file(path, read_all); }

SafetensorsHeader read_safetensors_header(const std::string& path) { return read_file(path, read_header); }

Safetensors parse_safetensors(std::string_view bytes, const std::string& name) {
  std::istringstream in{std::string(bytes)};
  return read_all({in, bytes.size(), name});
}

void expect_tensor_name(std::string_view name) {
  WEFT_CHECK(name != metadata_key, "a tensor cannot be named '{}' in a safetensors file", name);
  WEFT_CHECK(is_utf8(name), "a tensor cannot be named {} in a safetensors file: it is not UTF-8", as_json(name));
}

void write_safetensors(const std::string& path, const Safetensors& contents) {
  expect_savable(path, contents);
  std::vector<std::pair<const std::string*, const Tensor*>> tensors;
  for (const auto& [name, tensor] : contents.tensors) tensors.emplace_back(&name, &tensor);
  std::ranges::stable_sort(tensors, std::greater{}, [](const auto& tensor) { return size_of(tensor.second->dtype()); });

  std::string text = "{";
  if (!contents.metadata.empty())
    text += fmt::format("{}:{}", as_json(metadata_key), nlohmann::json(contents.metadata).dump());
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    const std::uint64_t end = at + tensor->bytes();
    fmt::format_to(std::back_inserter(text), R"({}{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                   text.size() > 1 ? "," : "", as_json(*name), name_in_file(tensor->dtype()),
                   fmt::join(tensor->extents(), ","), at, end);
    at = end;
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  WEFT_CHECK(length <= most_header_bytes,
             "cannot write '{}': its names and notes would take {} bytes, the format allows {}", path, length,
             most_header_bytes);
  auto fill = [&](WriteBytes write) {
    write(std::as_bytes(std::span(&length, 1)));
    write(std::as_bytes(std::span(text)));
    for (const auto& [name, tensor] : tensors) write({tensor->raw(), tensor->bytes()});
  };
  write_atomically(path, fill);
}

}  // namespace weft
