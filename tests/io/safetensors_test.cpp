#include <weft/io/safetensors.h>

#include <support/catch.h>
#include <support/temporary_folder.h>

#include <cstring>
#include <random>

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
      {good + std::string("\0", 1), "the file holds 9"},
      {file_of("{\"x\":3}"), "'x' is not an object"},
      {file_of("{}\0garbage"s), "byte 2 is NUL"},
      {file_of("{\"a\0b\":{}}"s), "byte 3 is NUL"},
      {file_of("{\"\xff\":{}}"), "not JSON"},
      {file_of(R"({"x":{"shape":[1e999]}})"), "not JSON"},
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
      {file_of(R"({"__metadata__":[]})"), "its __metadata__ is not an object"},
      {file_of(R"({"__metadata__":{},"__metadata__":{}})"), "'__metadata__' twice"},
      {file_of(R"({"__metadata__":{"a":"","a":""}})"), "'a' twice"},
      {file_of(R"({"x":{"dtype":"F32","dtype":"F32"}})"), "'dtype' twice"},
      {file_of(R"({"x":{"shape":[],"shape":[]}})"), "'shape' twice"},
      {file_of(R"({"x":{"dtype":null}})"), "the dtype null"},
      {file_of(R"({"x":{"shape":"F32"}})"), "no list 'shape'"},
      {file_of(R"({"x":{"shape":[true]}})"), "holds true"},
      {file_of(R"({"x":{"shape":[[]]}})"), "holds a list"},
      {file_of(R"({"x":{"shape":[{}]}})"), "holds an object"},
      {file_of(R"({"x":{"shape":["2"]}})"), "holds \"2\""},
      {file_of(R"({"x":{"shape":[18446744073709551616]}})"), "holds 18446744073709551616"},
      {file_of(R"({"x":{"dtype":"F32","shape":[2]}})"), "no list 'data_offsets'"},
      {file_of("{" + float_entry("x", 0, 0, "[9223372036854775807,9223372036854775807,0]") + "}"), "overflows"},
  };
  for (const Case& bad : cases) {
    INFO(bad.message);
    CHECK_THROWS_AS(parse_safetensors(bad.bytes, "f"), UserError);
    CHECK_THROWS_WITH(parse_safetensors(bad.bytes, "f"),
                      StartsWith("'f' is not a sound") && ContainsSubstring(bad.message));
  }
}

TEST_CASE("brackets are refused where they have no place, however many follow", "[core][io][errors]") {
  const std::string objects = [] {
    std::string text;
    for (int i = 0; i < 100'000; ++i) text += "{\"x\":";
    return text;
  }();
  const std::string lists(100'000, '[');
  for (const std::string& close : {""s, std::string(100'000, ']')}) {
    const auto fails_with = [](const std::string& header, const std::string& message) {
      CHECK_THROWS_WITH(parse_safetensors(file_of(header)), ContainsSubstring(message));
    };
    fails_with("{\"x\":" + lists + close, "the entry of 'x' is not an object");
    fails_with("{\"x\":{\"shape\":" + lists + close, "'shape' of 'x' holds a list");
    fails_with("{\"__metadata__\":{\"k\":" + lists + close, "'k' in its __metadata__ is not a text");
    fails_with(objects + close, "'x' has the unknown field 'x'");
  }
}

TEST_CASE("a long text in a header does not come back in the message", "[core][io][errors]") {
  const std::string text(100'000, 'x');
  for (const std::string& header :
       {"{\"x\":{\"dtype\":\"" + text + "\"}}", "{\"" + text, "{\"x\":" + text, "{\"" + text + "\":1}"}) {
    std::string message;
    try {
      parse_safetensors(file_of(header));
    } catch (const UserError& error) {
      message = error.what();
    }
    CHECK_THAT(message, StartsWith("'memory' is not a sound"));
    CHECK(message.size() < 500);
  }
}

// Quadratic work on as many names would take the suite minutes.
TEST_CASE("a file may hold a hundred thousand tensors", "[core][io]") {
  const TemporaryFolder folder;
  Safetensors contents;
  const Tensor value = Tensor::of<float>({1}, {3});
  for (int i = 0; i < 100'000; ++i) contents.tensors.emplace(fmt::format("block/{}/weight", i), value);
  write_safetensors(folder / "x", contents);
  const Safetensors read = read_safetensors(folder / "x");
  CHECK(read.tensors.size() == contents.tensors.size());
  CHECK(same_bits(read.tensors.at("block/99999/weight"), value));
}

// Random damage to a sound file: either it is refused as a file, or every byte of the data is still some tensor's.
TEST_CASE("a damaged file is one UserError or a whole file", "[core][io][errors]") {
  const TemporaryFolder folder;
  Safetensors contents;
  contents.metadata = {{"a", "1"}, {"note", "\u00fc\n"}};
  contents.tensors.emplace("x", Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
  contents.tensors.emplace("flags", Tensor::of<bool>({3}, {true, false, true}));
  contents.tensors.emplace("empty", Tensor(f32, {2, 0}));
  write_safetensors(folder / "x", contents);
  const std::string sound = test::bytes_of(folder / "x");
  const std::size_t data = 6 * sizeof(float) + 3;
  const std::string header = sound.substr(8, sound.size() - 8 - data);
  const std::string_view pieces[] = {"[",
                                     "{",
                                     "]",
                                     "}",
                                     "\"",
                                     " ",
                                     ",",
                                     ":",
                                     "0",
                                     "-",
                                     "9999999999",
                                     "1e9",
                                     "null",
                                     "\"x\":",
                                     "\\u0000",
                                     "\xff",
                                     "\n",
                                     "[[[[[[[[",
                                     "{\"x\":{\"x\":",
                                     R"("shape":[2],)"};

  std::mt19937 random(1);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  const auto damaged = [&](std::size_t kind) {
    std::string text = header;
    if (kind < 2) {
      std::string bytes = sound;
      if (kind == 0) return bytes.substr(0, below(bytes.size()));
      for (std::size_t flips = 1 + below(3); flips-- > 0;)
        bytes[below(bytes.size())] ^= static_cast<char>(1U << below(8));
      return bytes;
    }
    const std::size_t from = below(text.size());
    const std::string part = text.substr(from, 1 + below(20));
    if (kind == 2) text.insert(from, pieces[below(std::size(pieces))]);
    if (kind == 3) text.erase(from, part.size());
    if (kind == 4) text.insert(below(text.size()), part);
    if (kind == 5) text.insert(from, std::string(1, '\0'));
    return file_of(text, sound.substr(sound.size() - data));
  };
  int refused = 0;
  int read = 0;
  for (int i = 0; i < 12'000; ++i) {
    const std::size_t kind = below(6);
    const std::string bytes = damaged(kind);
    try {
      std::size_t held = 0;
      for (const auto& [name, tensor] : parse_safetensors(bytes).tensors) held += tensor.bytes();
      if (held != data || kind == 5) FAIL_CHECK(fmt::format("{} bytes of {} in {}", held, data, bytes));
      ++read;
    } catch (const UserError& error) {
      if (!std::string_view(error.what()).starts_with("'memory' is not a sound safetensors file: "))
        FAIL_CHECK(error.what());
      ++refused;
    }
  }
  CHECK(refused > 4000);
  CHECK(read > 300);
}

TEST_CASE("what a file cannot hold is refused before it is written", "[core][io][errors]") {
  const TemporaryFolder folder;
  const Tensor one = Tensor::scalar(1.0F);
  const auto write = [&](const Safetensors& contents) { write_safetensors(folder / "x", contents); };
  CHECK_THROWS_WITH(write({{{"__metadata__", one}}, {}}),
                    "a tensor cannot be named '__metadata__' in a safetensors file");
  CHECK_THROWS_WITH(write({{{"caf\xe9", one}}, {}}),
                    "a tensor cannot be named \"caf\ufffd\" in a safetensors file: it is not UTF-8");
  for (const Tensor& none : {Tensor(), Tensor(f32, {2}, nullptr)})
    CHECK_THROWS_WITH(write({{{"w", none}}, {}}), EndsWith("'w' is no tensor: it is Tensor() or was moved from"));
  CHECK_THROWS_WITH(write({{}, {{"k", "\xff"}}}), EndsWith(R"(the note "k" is not UTF-8)"));
  CHECK_THROWS_WITH(write({{}, {{"\xff", "v"}}}), EndsWith("the note \"\ufffd\" is not UTF-8"));
  CHECK(std::filesystem::is_empty(folder.path()));
  write({{{"none", Tensor(f32, {0})}, {"", one}, {std::string("a\0b", 3), one}}, {}});
  CHECK(read_safetensors(folder / "x").tensors.size() == 3);
}

TEST_CASE("a header longer than the format allows is not written", "[io][errors]") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(write_safetensors(folder / "x", {{}, {{"k", std::string(100'000'000, 'x')}}}),
                    ContainsSubstring("the format allows 100000000"));
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a file that cannot be read or written is named", "[core][io][errors]") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(read_safetensors(folder / "none"), StartsWith("there is no file"));
  CHECK_THROWS_WITH(read_safetensors(folder.path()), StartsWith("there is no file"));
  CHECK_THROWS_WITH(write_safetensors(folder / "none/x", {}), ContainsSubstring("there is no folder"));
  CHECK_THROWS_WITH(write_safetensors(folder.path(), {}), ContainsSubstring("not a regular file"));
}
