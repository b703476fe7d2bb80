#include <weft/io/atomic_file.h>
#include <weft/io/safetensors.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

static_assert(std::endian::native == std::endian::little, "safetensors is little endian, and so are weft's machines");

namespace weft {
namespace {

using Json = nlohmann::ordered_json;
using Entry = SafetensorsHeader::Entry;

constexpr std::uint64_t length_bytes = 8;
constexpr std::uint64_t most_header_bytes = 100'000'000;  // the format's own bound
constexpr std::string_view metadata_key = "__metadata__";

struct DTypeName {
  std::string_view name;
  DType dtype;
};
constexpr std::array<DTypeName, 7> dtype_names{
    {{"F32", f32}, {"F64", f64}, {"BF16", bf16}, {"F16", f16}, {"I32", i32}, {"I64", i64}, {"BOOL", boolean}}};

// Messages begin with the file's name; `where` adds the tensor's.
struct Reader {
  std::istream& in;
  std::uint64_t size;
  std::string name;

  template <class... T>
  [[noreturn]] void fail(fmt::format_string<T...> text, T&&... args) const {
    WEFT_FAIL("'{}' is not a sound safetensors file: {}", name, fmt::format(text, std::forward<T>(args)...));
  }
  void read(void* to, std::uint64_t bytes) const {
    in.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
    if (static_cast<std::uint64_t>(in.gcount()) != bytes) fail("it ends early");
  }
};

// nlohmann keeps the last of two equal keys; the format forbids them, and a save that names a tensor twice is corrupt.
Json parse_header(const Reader& reader, const std::string& text) {
  std::vector<std::set<std::string>> keys;
  std::string twice;
  auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    else if (event == Json::parse_event_t::object_end) keys.pop_back();
    else if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      twice = parsed.get<std::string>();
    return true;
  };
  Json header;
  try {
    header = Json::parse(text, watch);
  } catch (const Json::exception& error) {
    reader.fail("its header is not JSON ({})", error.what());
  }
  if (!twice.empty()) reader.fail("its header names '{}' twice", twice);
  if (!header.is_object()) reader.fail("its header is not a JSON object");
  return header;
}

DType parse_dtype(const Reader& reader, const std::string& tensor, const Json& entry) {
  const auto text = entry.find("dtype");
  if (text == entry.end() || !text->is_string()) reader.fail("'{}' has no dtype", tensor);
  for (const DTypeName& known : dtype_names)
    if (*text == known.name) return known.dtype;
  reader.fail("'{}' has the dtype {}; weft reads F32, F64, BF16, F16, I32, I64 and BOOL", tensor, text->dump());
}

// Unsigned integers of a list of the header.
std::vector<std::uint64_t> parse_numbers(const Reader& reader, const std::string& tensor, const Json& entry,
                                         const char* key) {
  const auto list = entry.find(key);
  if (list == entry.end() || !list->is_array()) reader.fail("'{}' has no list '{}'", tensor, key);
  std::vector<std::uint64_t> numbers;
  for (const Json& number : *list) {
    if (!number.is_number_unsigned()) reader.fail("'{}' of '{}' holds {}", key, tensor, number.dump());
    numbers.push_back(number.get<std::uint64_t>());
  }
  return numbers;
}

Entry parse_entry(const Reader& reader, const std::string& tensor, const Json& json, std::uint64_t data_bytes) {
  if (!json.is_object()) reader.fail("the entry of '{}' is not an object", tensor);
  for (const auto& [key, value] : json.items())
    if (key != "dtype" && key != "shape" && key != "data_offsets")
      reader.fail("'{}' has the unknown field '{}'", tensor, key);
  Entry entry;
  entry.dtype = parse_dtype(reader, tensor, json);
  const auto offsets = parse_numbers(reader, tensor, json, "data_offsets");
  if (offsets.size() != 2 || offsets[0] > offsets[1]) reader.fail("the data_offsets of '{}' are no range", tensor);
  entry.begin = offsets[0];
  entry.end = offsets[1];
  if (entry.end > data_bytes)
    reader.fail("'{}' ends at byte {} of {} bytes of data; the file may be cut off", tensor, entry.end, data_bytes);
  const auto extents = parse_numbers(reader, tensor, json, "shape");
  const bool no_elements = std::ranges::find(extents, 0U) != extents.end();
  std::uint64_t bytes = no_elements ? 0 : size_of(entry.dtype);
  for (std::uint64_t extent : extents) {
    if (extent > INT64_MAX || (extent != 0 && bytes > INT64_MAX / extent))
      reader.fail("the shape of '{}' overflows", tensor);
    bytes *= extent;
    entry.extents.push_back(static_cast<std::int64_t>(extent));
  }
  if (bytes != entry.end - entry.begin)
    reader.fail("'{}' of {} has {} bytes, its shape needs {}", tensor, json.dump(), entry.end - entry.begin, bytes);
  return entry;
}

// In the order of their bytes.
std::vector<std::pair<std::string, Entry>> by_offset(const SafetensorsHeader& header) {
  std::vector<std::pair<std::string, Entry>> sorted(header.entries.begin(), header.entries.end());
  std::ranges::sort(sorted, {}, [](const auto& entry) { return std::pair(entry.second.begin, entry.second.end); });
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
  if (text.empty() || text.front() != '{') reader.fail("its header does not begin with '{{'");

  SafetensorsHeader header;
  header.data_begin = length_bytes + length;
  const std::uint64_t data_bytes = reader.size - header.data_begin;
  const Json json = parse_header(reader, text);
  for (const auto& [name, value] : json.items()) {
    if (name != metadata_key) {
      header.entries.emplace(name, parse_entry(reader, name, value, data_bytes));
      continue;
    }
    if (!value.is_object()) reader.fail("its {} is not an object", metadata_key);
    for (const auto& [key, note] : value.items()) {
      if (!note.is_string()) reader.fail("'{}' in its {} is not a text", key, metadata_key);
      header.metadata.emplace(key, note.get<std::string>());
    }
  }
  std::uint64_t at = 0;
  for (const auto& [name, entry] : by_offset(header)) {
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
  for (const auto& [name, entry] : by_offset(header)) {  // no holes: in order, the bytes follow each other
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
  const std::uint64_t size = std::filesystem::file_size(path);
  std::ifstream in(path, std::ios::binary);
  WEFT_CHECK(in.is_open(), "'{}' cannot be opened: {}", path, std::strerror(errno));
  return read(Reader{in, size, path});
}

std::string_view name_in_file(DType type) {
  for (const DTypeName& known : dtype_names)
    if (known.dtype == type) return known.name;
  return {};
}

}  // namespace

Safetensors read_safetensors(const std::string& path) { return read_file(path, read_all); }

SafetensorsHeader read_safetensors_header(const std::string& path) { return read_file(path, read_header); }

Safetensors parse_safetensors(std::string_view bytes, const std::string& name) {
  std::istringstream in{std::string(bytes)};
  return read_all({in, bytes.size(), name});
}

void write_safetensors(const std::string& path, const Safetensors& contents) {
  std::vector<std::pair<std::string, const Tensor*>> tensors;
  for (const auto& [name, tensor] : contents.tensors) tensors.emplace_back(name, &tensor);
  std::ranges::stable_sort(tensors, std::greater{}, [](const auto& tensor) { return size_of(tensor.second->dtype()); });

  Json header = Json::object();
  if (!contents.metadata.empty()) header[std::string(metadata_key)] = contents.metadata;
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    WEFT_CHECK(name != metadata_key, "a tensor cannot be named '{}' in a safetensors file", name);
    const std::uint64_t end = at + tensor->bytes();
    header[name] = {
        {"dtype", name_in_file(tensor->dtype())}, {"shape", tensor->extents()}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception& error) {
    WEFT_FAIL("cannot write '{}': a name or a note is not UTF-8 ({})", path, error.what());
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  auto fill = [&](WriteBytes write) {
    write(std::as_bytes(std::span(&length, 1)));
    write(std::as_bytes(std::span(text)));
    for (const auto& [name, tensor] : tensors) write({tensor->raw(), tensor->bytes()});
  };
  write_atomically(path, fill);
}

}  // namespace weft
