#include <weft/io/safetensors.h>

#include <support/catch.h>
#include <support/temporary_folder.h>

#include <cstring>

using namespace weft;
using test::TemporaryFolder;
using namespace std::string_literals;

namespace {

std::string file_of(std::string header, std::string_view data = {}) {
  std::uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + std::string(data);
}

std::string float_entry(const std::string& name, int begin, int end, const std::string& shape) {
  return fmt::format(R"("{}":{{"dtype":"F32","shape":{},"data_offsets":[{},{}]}})", name, shape, begin, end);
}

}  // namespace

TEST_CASE("what is written is what is read, for every dtype and shape", "[core][io]") {
  const TemporaryFolder folder;
  Safetensors contents;
  contents.metadata = {{"a", "1"}, {"note", "ein \"Zitat\", \u00fc\n"}};
  contents.tensors.emplace("f32", Tensor::of<float>({2, 3}, {1, -2, 3e-38F, 4, 5, 6}));
  contents.tensors.emplace("f64", Tensor::scalar(1.0 / 3));
  contents.tensors.emplace("bf16", Tensor::of<bfloat16>({2}, {bfloat16(1.5F), bfloat16(-2.0F)}));
  contents.tensors.emplace("f16", Tensor::of<float16>({3}, {float16(1.5F), float16(-2.0F), float16(0.0F)}));
  contents.tensors.emplace("i32", Tensor::of<std::int32_t>({2}, {-1, 7}));
  contents.tensors.emplace("i64", Tensor::of<std::int64_t>({1, 1}, {std::int64_t{1} << 60}));
  contents.tensors.emplace("bool", Tensor::of<bool>({3}, {true, false, true}));
  contents.tensors.emplace("empty", Tensor(f32, {2, 0, 3}));
  write_safetensors(folder / "x", contents);

  const Safetensors read = read_safetensors(folder / "x");
  REQUIRE(read.tensors.size() == contents.tensors.size());
  for (const auto& [name, tensor] : contents.tensors) CHECK(same_bits(read.tensors.at(name), tensor));
  CHECK(read.metadata == contents.metadata);

  const SafetensorsHeader header = read_safetensors_header(folder / "x");
  CHECK(header.data_begin % 8 == 0);
  for (const auto& [name, entry] : header.entries) {
    CHECK(entry.begin % size_of(entry.dtype) == 0);
    CHECK(entry.extents == contents.tensors.at(name).extents());
  }
}

TEST_CASE("equal contents give equal files, and no other file stays behind", "[core][io]") {
  const TemporaryFolder folder;
  const Safetensors contents{{{"x", Tensor::of<float>({2}, {1, 2})}}, {{"k", "v"}}};
  write_safetensors(folder / "a", contents);
  write_safetensors(folder / "b", {});
  write_safetensors(folder / "b", contents);  // over an older file
  CHECK(test::bytes_of(folder / "a") == test::bytes_of(folder / "b"));
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 2);
}

TEST_CASE("the bytes are those of the format", "[core][io]") {
  const TemporaryFolder folder;
  write_safetensors(folder / "x", {{{"b", Tensor::of<float>({1}, {2.0F})}, {"c", Tensor::of<double>({1}, {1.0})}}, {}});
  std::string header = R"({"c":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},)"
                       R"("b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string data("\0\0\0\0\0\0\xf0\x3f\0\0\0\x40", 12);
  CHECK(test::bytes_of(folder / "x") == file_of(header, data));
}

TEST_CASE("each kind of corrupt file is one clear error", "[core][io][errors]") {
  const std::string data(8, '\0');
  struct Case {
    std::string bytes;
    std::string message;
  };
  const std::string good = file_of("{" + float_entry("x", 0, 8, "[2]") + "}", data);
  REQUIRE_NOTHROW(parse_safetensors(good));
  const Case cases[] = {
      {"", "0 bytes"},
      {"1234567", "7 bytes"},
      {good.substr(0, 20), "may be cut off"},
      {good.substr(0, good.size() - 1), "may be cut off"},
      {good + "x", "the file holds 9"},
      {std::string(8, '\xff'), "at most 100000000"},
      {file_of(""), "does not begin with '{'"},
      {file_of("[1]"), "does not begin with '{'"},
      {file_of("{\"x\":"), "not JSON"},
      {file_of("{} {}"), "not JSON"},
      {file_of("{\"x\":3}"), "'x' is not an object"},
      {file_of("{\"\xff\":{}}"), "not JSON"},
      {file_of("{" + float_entry("x", 0, 8, "[2]") + "," + float_entry("x", 0, 8, "[2]") + "}", data), "'x' twice"},
      {file_of("{" + float_entry("x", 0, 8, "[3]") + "}", data), "8 bytes, its shape needs 12"},
      {file_of("{" + float_entry("x", 0, 8, "[-2]") + "}", data), "'shape' of 'x' holds -2"},
      {file_of("{" + float_entry("x", 0, 8, "[2.0]") + "}", data), "holds 2.0"},
      {file_of("{" + float_entry("x", 0, 8, "[9223372036854775807,4]") + "}", data), "overflows"},
      {file_of("{" + float_entry("x", 0, 8, "[18446744073709551615,0]") + "}", data), "overflows"},
      {file_of("{" + float_entry("x", 8, 0, "[2]") + "}", data), "no range"},
      {file_of("{" + float_entry("x", 8, 16, "[2]") + "}", data), "ends at byte 16 of 8"},
      {file_of("{" + float_entry("x", 0, 4, "[1]") + "}", data), "the file holds 8"},
      {file_of("{" + float_entry("x", 4, 8, "[1]") + "}", data), "belong to no tensor"},
      {file_of("{" + float_entry("x", 0, 8, "[2]") + "," + float_entry("y", 4, 8, "[1]") + "}", data),
       "inside the tensor"},
      {file_of(R"({"x":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})", data), "dtype \"U8\""},
      {file_of(R"({"x":{"shape":[8],"data_offsets":[0,8]}})", data), "has no dtype"},
      {file_of(R"({"x":{"dtype":"F32","data_offsets":[0,8]}})", data), "no list 'shape'"},
      {file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", data), "no range"},
      {file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}})", data), "unknown field 'more'"},
      {file_of(R"({"x":{"dtype":"BOOL","shape":[8],"data_offsets":[0,8]}})", "\0\1\0\2\0\0\0\0"s.substr(0, 8)),
       "neither 0 nor 1"},
      {file_of(R"({"__metadata__":{"a":1}})"), "not a text"},
      {file_of(R"({"__metadata__":[]})"), "not an object"},
  };
  for (const Case& bad : cases) {
    INFO(bad.message);
    CHECK_THROWS_AS(parse_safetensors(bad.bytes, "f"), UserError);
    CHECK_THROWS_WITH(parse_safetensors(bad.bytes, "f"),
                      StartsWith("'f' is not a sound") && ContainsSubstring(bad.message));
  }
}

TEST_CASE("a file that cannot be read or written is named", "[core][io][errors]") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(read_safetensors(folder / "none"), StartsWith("there is no file"));
  CHECK_THROWS_WITH(read_safetensors(folder.path()), StartsWith("there is no file"));
  CHECK_THROWS_WITH(write_safetensors(folder / "none/x", {}), ContainsSubstring("there is no folder"));
  CHECK_THROWS_WITH(write_safetensors(folder.path(), {}), ContainsSubstring("not a regular file"));
  CHECK_THROWS_WITH(write_safetensors(folder / "x", {{}, {{"k", "\xff"}}}), ContainsSubstring("not UTF-8"));
  CHECK_THROWS_WITH(write_safetensors(folder / "x", {{{"__metadata__", Tensor::scalar(1.0F)}}, {}}),
                    ContainsSubstring("cannot be named"));
  CHECK_FALSE(std::filesystem::exists(folder / "x"));
}
