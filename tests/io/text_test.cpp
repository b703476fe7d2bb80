#include <weft/graph/error.h>
#include <weft/io/text.h>

#include <support/catch.h>
#include <support/temporary_folder.h>

#include <numeric>
#include <set>

using namespace weft;
using test::TemporaryFolder;

TEST_CASE("UTF-8 of one to four bytes survives decoding and encoding", "[core][io]") {
  const std::string text = "a\u00e9\u20ac\U0001f600\n\0z";
  CHECK(decode_utf8(text) == U"a\u00e9\u20ac\U0001f600\n\0z");
  CHECK(encode_utf8(decode_utf8(text)) == text);
}

TEST_CASE("bytes that are not UTF-8 are found, with their offset", "[core][io][errors]") {
  for (const char* bad :
       {"ab\x80", "ab\xc3", "ab\xc0\x80", "ab\xed\xa0\x80", "ab\xf4\x90\x80\x80", "ab\xff", "ab\xe2\x82", "ab\xc3\x28"})
    CHECK_THROWS_WITH(decode_utf8(bad), ContainsSubstring("at offset 2"));
}

TEST_CASE("a vocabulary has each character once, in code point order", "[core][io]") {
  const CharVocabulary vocabulary(U"banana \u00e9");
  CHECK(vocabulary.characters() == U" abn\u00e9");
  const auto tokens = vocabulary.encode(U"nab\u00e9");
  CHECK(tokens == std::vector<std::int32_t>{3, 1, 2, 4});
  CHECK(vocabulary.decode(tokens) == "nab\u00e9");
  CHECK_THROWS_WITH(vocabulary.encode(U"abc"), ContainsSubstring("character 2 of the text, U+0063 'c'"));
  CHECK_THROWS_WITH(vocabulary.decode(std::vector<std::int32_t>{5}), ContainsSubstring("token 5"));
}

TEST_CASE("a text that is missing, empty or a folder is an error", "[core][io][errors]") {
  const TemporaryFolder folder;
  test::write_bytes(folder / "empty", "");
  CHECK_THROWS_WITH(read_text(folder / "none"), StartsWith("there is no text file"));
  CHECK_THROWS_WITH(read_text(folder / "empty"), ContainsSubstring("is empty"));
  CHECK_THROWS_WITH(read_text(folder.path()), ContainsSubstring("is not a file"));
}

TEST_CASE("windows are drawn by seed and run, everywhere in the text", "[core][io]") {
  std::vector<std::int32_t> tokens(9);
  std::iota(tokens.begin(), tokens.end(), 0);
  TokenBatch batch(3, 4), again(3, 4);
  std::set<std::int32_t> places;
  for (std::int64_t runs = 0; runs < 60; ++runs) {
    draw_windows(tokens, batch, 1, runs);
    draw_windows(tokens, again, 1, runs);
    REQUIRE(same_bits(batch.tokens, again.tokens));
    for (std::int64_t row = 0; row < 3; ++row) {
      places.insert(static_cast<std::int32_t>(batch.tokens.at(row * 4)));
      for (std::int64_t t = 0; t < 4; ++t) REQUIRE(batch.targets.at(row * 4 + t) == batch.tokens.at(row * 4 + t) + 1);
    }
  }
  CHECK(places == std::set<std::int32_t>{0, 1, 2, 3, 4});
  draw_windows(tokens, again, 2, 59);
  CHECK_FALSE(same_bits(batch.tokens, again.tokens));
  CHECK_THROWS_WITH(draw_windows(std::span(tokens).first(4), batch, 1, 0), ContainsSubstring("at least 5 tokens"));
}

TEST_CASE("covering windows hold every prediction once", "[core][io]") {
  for (std::int64_t count : {0, 1, 2, 4, 5, 6, 12, 13, 14, 29}) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
    std::iota(tokens.begin(), tokens.end(), 100);
    TokenBatch batch(3, 4);
    std::vector<std::int32_t> predicted;
    for (std::int64_t i = 0; i < covering_batches(tokens, batch); ++i) {
      cover(tokens, batch, i);
      std::int64_t counted = 0;
      for (std::int64_t k = 0; k < batch.targets.size(); ++k) {
        if (batch.targets.at(k) == no_target) continue;
        ++counted;
        CHECK(batch.targets.at(k) == batch.tokens.at(k) + 1);
        predicted.push_back(static_cast<std::int32_t>(batch.targets.at(k)));
      }
      CHECK(counted > 0);
    }
    CHECK(predicted == std::vector<std::int32_t>(tokens.begin() + (count > 0), tokens.end()));
  }
}
