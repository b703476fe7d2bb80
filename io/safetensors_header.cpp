#include <weft/io/safetensors_header.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

namespace weft {
namespace {

using Json = nlohmann::json;
using Numbers = std::vector<std::uint64_t>;

struct DTypeName {
  std::string_view name;
  DType dtype;
};
constexpr std::array<DTypeName, 7> dtype_names{
    {{"F32", f32}, {"F64", f64}, {"BF16", bf16}, {"F16", f16}, {"I32", i32}, {"I64", i64}, {"BOOL", boolean}}};

// What the JSON reader of nlohmann calls, piece by piece. There is no tree that could be deep or large: a header has
// three levels, and what has no place in them ends the reading.
class HeaderReader {
 public:
  HeaderReader(SafetensorsHeader& header, std::uint64_t data_bytes, const std::string& file)
      : header_(header), data_bytes_(data_bytes), file_(file) {}

  bool null() { return refuse("null"); }
  bool boolean(bool value) { return refuse(value ? "true" : "false"); }
  bool number_integer(Json::number_integer_t value) { return refuse(std::to_string(value)); }
  bool number_float(Json::number_float_t, const std::string& text) { return refuse(text); }
  bool binary(Json::binary_t&) { return refuse("bytes"); }

  bool number_unsigned(Json::number_unsigned_t value) {
    if (level_ != Level::numbers) return refuse(std::to_string(value));
    list().push_back(value);
    return true;
  }

  bool string(std::string& text) {
    if (level_ == Level::metadata) {
      header_.metadata.at(note_) = std::move(text);
      return true;
    }
    const auto known = std::ranges::find(dtype_names, text, &DTypeName::name);
    if (level_ != Level::entry || field_ != "dtype" || known == dtype_names.end()) return refuse('"' + text + '"');
    dtype_ = known->dtype;
    return true;
  }

  bool start_object(std::size_t) {
    if (level_ == Level::outside) level_ = Level::tensors;
    else if (level_ != Level::tensors) refuse("an object");
    else if (tensor_ == metadata_key) level_ = Level::metadata;
    else level_ = Level::entry;
    return true;
  }

  bool key(std::string& text) {
    if (level_ == Level::tensors) {
      const bool is_new =
          text == metadata_key ? !std::exchange(has_metadata_, true) : header_.entries.try_emplace(text).second;
      if (!is_new) fail("its header names '{}' twice", text);
      tensor_ = std::move(text);
    } else if (level_ == Level::metadata) {
      if (!header_.metadata.try_emplace(text).second) fail("its header names '{}' twice", text);
      note_ = std::move(text);
    } else {
      if (text != "dtype" && text != "shape" && text != "data_offsets")
        fail("'{}' has the unknown field '{}'", tensor_, text);
      field_ = std::move(text);
      const bool twice = field_ == "dtype" ? dtype_.has_value() : list_given().has_value();
      if (twice) fail("its header names '{}' twice", field_);
    }
    return true;
  }

  bool end_object() {
    if (level_ == Level::entry) finish_entry();
    level_ = Level::tensors;  // the last one ends the text
    return true;
  }

  bool start_array(std::size_t) {
    if (level_ != Level::entry || field_ == "dtype") return refuse("a list");
    list_given().emplace();
    level_ = Level::numbers;
    return true;
  }

  bool end_array() {
    level_ = Level::entry;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception& error) {
    fail("its header is not JSON ({})", error.what());
  }

 private:
  enum class Level { outside, tensors, metadata, entry, numbers };

  template <class... T>
  [[noreturn]] void fail(fmt::format_string<T...> text, T&&... args) const {
    fail_safetensors(file_, text, std::forward<T>(args)...);
  }

  // A value that has no place where it stands.
  [[noreturn]] bool refuse(std::string_view value) const {
    if (level_ == Level::tensors && tensor_ == metadata_key) fail("its {} is not an object", metadata_key);
    if (level_ == Level::tensors) fail("the entry of '{}' is not an object", tensor_);
    if (level_ == Level::metadata) fail("'{}' in its {} is not a text", note_, metadata_key);
    if (level_ == Level::numbers) fail("'{}' of '{}' holds {}", field_, tensor_, value);
    if (field_ == "dtype")
      fail("'{}' has the dtype {}; weft reads F32, F64, BF16, F16, I32, I64 and BOOL", tensor_, value);
    fail("'{}' has no list '{}'", tensor_, field_);
  }

  std::optional<Numbers>& list_given() { return field_ == "shape" ? shape_ : offsets_; }
  Numbers& list() { return *list_given(); }

  void finish_entry() {
    if (!dtype_) fail("'{}' has no dtype", tensor_);
    if (!offsets_) fail("'{}' has no list 'data_offsets'", tensor_);
    if (!shape_) fail("'{}' has no list 'shape'", tensor_);
    SafetensorsHeader::Entry& entry = header_.entries.at(tensor_);
    entry.dtype = *dtype_;
    set_range(entry);
    set_extents(entry);
    dtype_.reset();
    offsets_.reset();
    shape_.reset();
  }

  void set_range(SafetensorsHeader::Entry& entry) const {
    const Numbers& offsets = *offsets_;
    if (offsets.size() != 2 || offsets[0] > offsets[1]) fail("the data_offsets of '{}' are no range", tensor_);
    entry.begin = offsets[0];
    entry.end = offsets[1];
    if (entry.end > data_bytes_)
      fail("'{}' ends at byte {} of {} bytes of data; the file may be cut off", tensor_, entry.end, data_bytes_);
  }

  void set_extents(SafetensorsHeader::Entry& entry) const {
    std::uint64_t count = 1;
    for (const std::uint64_t extent : *shape_) {
      if (extent > INT64_MAX || (extent != 0 && count > INT64_MAX / extent))
        fail("the shape of '{}' overflows", tensor_);
      count *= extent;
      entry.extents.push_back(static_cast<std::int64_t>(extent));
    }
    if (count > INT64_MAX / size_of(entry.dtype)) fail("the shape of '{}' overflows", tensor_);
    const std::uint64_t bytes = count * size_of(entry.dtype);
    if (bytes != entry.end - entry.begin)
      fail("'{}' of {} [{}] has {} bytes, its shape needs {}", tensor_, name_in_file(entry.dtype),
           fmt::join(entry.extents, ", "), entry.end - entry.begin, bytes);
  }

  SafetensorsHeader& header_;
  std::uint64_t data_bytes_;
  const std::string& file_;

  Level level_ = Level::outside;
  bool has_metadata_ = false;
  std::string tensor_, note_, field_;  // the newest keys
  std::optional<DType> dtype_;         // what the entry has given so far
  std::optional<Numbers> offsets_, shape_;
};

}  // namespace

std::string_view name_in_file(DType type) {
  const auto known = std::ranges::find(dtype_names, type, &DTypeName::dtype);
  WEFT_INVARIANT(known != dtype_names.end(), "safetensors has no name for {}", name_of(type));
  return known->name;
}

SafetensorsHeader parse_safetensors_header(const std::string& text, std::uint64_t data_bytes, const std::string& file) {
  if (!text.starts_with('{')) fail_safetensors(file, "its header does not begin with '{{'");
  // nlohmann takes it for the end of the text.
  if (const std::size_t nul = text.find('\0'); nul != std::string::npos)
    fail_safetensors(file, "its header is not JSON (byte {} is NUL)", nul);
  SafetensorsHeader header;
  HeaderReader reader(header, data_bytes, file);
  Json::sax_parse(text, &reader);
  return header;
}

}  // namespace weft
