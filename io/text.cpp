#include <weft/io/text.h>
#include <weft/runtime/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace weft {

std::string read_text(const std::string& path) {
  std::error_code error;
  WEFT_CHECK(std::filesystem::exists(path, error), "there is no text file '{}'", path);
  WEFT_CHECK(std::filesystem::is_regular_file(path, error), "'{}' is not a file", path);
  std::ifstream in(path, std::ios::binary);
  WEFT_CHECK(in.is_open(), "'{}' cannot be opened: {}", path, std::strerror(errno));
  std::string text(std::filesystem::file_size(path), '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  WEFT_CHECK(in.gcount() == static_cast<std::streamsize>(text.size()), "'{}' cannot be read to its end", path);
  WEFT_CHECK(!text.empty(), "the text file '{}' is empty", path);
  return text;
}

namespace {

// Length and least code point of a sequence that starts with `lead`; 0: none does.
struct Sequence {
  std::size_t length = 0;
  char32_t least = 0;
  char32_t bits = 0;
};

Sequence sequence_of(unsigned char lead) {
  if (lead < 0x80) return {1, 0, lead};
  if (lead >= 0xc2 && lead <= 0xdf) return {2, 0x80, lead & 0x1fU};
  if (lead >= 0xe0 && lead <= 0xef) return {3, 0x800, lead & 0x0fU};
  if (lead >= 0xf0 && lead <= 0xf4) return {4, 0x10000, lead & 0x07U};
  return {};
}

bool is_surrogate(char32_t c) { return c >= 0xd800 && c <= 0xdfff; }

}  // namespace

Utf8Character utf8_at(std::string_view text, std::size_t at) {
  const Sequence sequence = sequence_of(static_cast<unsigned char>(text[at]));
  char32_t c = sequence.bits;
  bool sound = sequence.length > 0 && at + sequence.length <= text.size();
  for (std::size_t i = 1; sound && i < sequence.length; ++i) {
    const auto byte = static_cast<unsigned char>(text[at + i]);
    sound = (byte & 0xc0U) == 0x80U;
    c = (c << 6U) | (byte & 0x3fU);
  }
  if (!sound || c < sequence.least || c > 0x10ffff || is_surrogate(c)) return {};
  return {c, sequence.length};
}

std::u32string decode_utf8(std::string_view text) {
  std::u32string decoded;
  decoded.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Character next = utf8_at(text, at);
    WEFT_CHECK(next.length > 0, "the text is not UTF-8: byte 0x{:02x} at offset {}; hint: iconv -t UTF-8",
               static_cast<unsigned char>(text[at]), at);
    decoded.push_back(next.code);
    at += next.length;
  }
  return decoded;
}

std::string encode_utf8(std::u32string_view text) {
  std::string encoded;
  encoded.reserve(text.size());
  auto tail = [&encoded](char32_t c, unsigned shift) { encoded += static_cast<char>(0x80U | ((c >> shift) & 0x3fU)); };
  for (char32_t c : text) {
    WEFT_CHECK(c <= 0x10ffff && !is_surrogate(c), "U+{:04X} is not a character", static_cast<std::uint32_t>(c));
    if (c < 0x80) {
      encoded += static_cast<char>(c);
    } else if (c < 0x800) {
      encoded += static_cast<char>(0xc0U | (c >> 6U));
      tail(c, 0);
    } else if (c < 0x10000) {
      encoded += static_cast<char>(0xe0U | (c >> 12U));
      tail(c, 6);
      tail(c, 0);
    } else {
      encoded += static_cast<char>(0xf0U | (c >> 18U));
      tail(c, 12);
      tail(c, 6);
      tail(c, 0);
    }
  }
  return encoded;
}

CharVocabulary::CharVocabulary(std::u32string_view text) : characters_(text) {
  std::ranges::sort(characters_);
  const auto rest = std::ranges::unique(characters_);
  characters_.erase(rest.begin(), rest.end());
}

std::vector<std::int32_t> CharVocabulary::encode(std::u32string_view text) const {
  std::vector<std::int32_t> tokens;
  tokens.reserve(text.size());
  for (char32_t c : text) {
    const auto found = std::ranges::lower_bound(characters_, c);
    WEFT_CHECK(found != characters_.end() && *found == c,
               "character {} of the text, U+{:04X} '{}', is not among the {} of the vocabulary", tokens.size(),
               static_cast<std::uint32_t>(c), encode_utf8({&c, 1}), size());
    tokens.push_back(static_cast<std::int32_t>(found - characters_.begin()));
  }
  return tokens;
}

std::string CharVocabulary::decode(std::span<const std::int32_t> tokens) const {
  std::u32string text;
  for (std::int32_t token : tokens) {
    WEFT_CHECK(token >= 0 && token < size(), "token {} is outside a vocabulary of {}", token, size());
    text += characters_[static_cast<std::size_t>(token)];
  }
  return encode_utf8(text);
}

namespace {

// Row `row` of a batch: `count` tokens from `first`, the rest empty.
void fill_row(std::span<const std::int32_t> tokens, TokenBatch& batch, std::int64_t row, std::int64_t first,
              std::int64_t count) {
  const std::int64_t time = batch.tokens.extent(1);
  std::int32_t* x = batch.tokens.data<std::int32_t>() + row * time;
  std::int32_t* y = batch.targets.data<std::int32_t>() + row * time;
  if (count > 0) {
    std::copy_n(tokens.data() + first, count, x);
    std::copy_n(tokens.data() + first + 1, count, y);
  }
  std::fill(x + count, x + time, 0);
  std::fill(y + count, y + time, no_target);
}

std::int64_t predictions(std::span<const std::int32_t> tokens) {
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(tokens.size()) - 1);
}

}  // namespace

void draw_windows(std::span<const std::int32_t> tokens, TokenBatch& batch, std::uint64_t seed, std::int64_t runs) {
  const std::int64_t time = batch.tokens.extent(1);
  const std::int64_t places = predictions(tokens) - time + 1;
  WEFT_CHECK(places > 0, "windows of {} tokens and their targets need at least {} tokens, there are {}", time, time + 1,
             tokens.size());
  const RandomKey key = random_key(seed, "data/windows");
  for (std::int64_t row = 0; row < batch.tokens.extent(0); ++row) {
    double u = 0;
    uniform_fill(&u, 1, static_cast<std::uint32_t>(row), key, static_cast<std::uint64_t>(runs));
    const auto place = static_cast<std::int64_t>(u * static_cast<double>(places));
    fill_row(tokens, batch, row, std::min(place, places - 1), time);
  }
}

std::int64_t covering_batches(std::span<const std::int32_t> tokens, const TokenBatch& batch) {
  const std::int64_t each = batch.tokens.size();
  return (predictions(tokens) + each - 1) / each;
}

void cover(std::span<const std::int32_t> tokens, TokenBatch& batch, std::int64_t index) {
  const std::int64_t rows = batch.tokens.extent(0);
  const std::int64_t time = batch.tokens.extent(1);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t first = (index * rows + row) * time;
    fill_row(tokens, batch, row, first, std::clamp<std::int64_t>(predictions(tokens) - first, 0, time));
  }
}

}  // namespace weft
