// Text as tokens: UTF-8, a vocabulary of characters, batches drawn at random, and windows that cover a text exactly
// once.
#pragma once

#include <weft/runtime/tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// The bytes of a file. UserError: it is not there, is no regular file, cannot be read, or is empty.
std::string read_text(const std::string& path);

/// A code point and the bytes that it takes.
struct Utf8Character {
  char32_t code = 0;
  std::size_t length = 0;  ///< 0: the bytes are not UTF-8 (RFC 3629)
};
/// The code point that begins at byte `at` < text.size().
Utf8Character utf8_at(std::string_view text, std::size_t at);
/// The code points of UTF-8. UserError: a byte sequence that is not UTF-8 (RFC 3629), with its offset.
std::u32string decode_utf8(std::string_view text);
std::string encode_utf8(std::u32string_view text);

/// Characters (Unicode code points) as tokens 0 ... size - 1, in code point order.
class CharVocabulary {
 public:
  /// Of the characters that occur in `text`, each once.
  explicit CharVocabulary(std::u32string_view text);

  std::int64_t size() const { return static_cast<std::int64_t>(characters_.size()); }
  const std::u32string& characters() const { return characters_; }
  /// UserError names the first character that the vocabulary lacks, and its place.
  std::vector<std::int32_t> encode(std::u32string_view text) const;
  /// UserError: a token outside [0, size).
  std::string decode(std::span<const std::int32_t> tokens) const;

 private:
  std::u32string characters_;
};

/// Tokens and what follows each, in tensors of i32 [batch, time]: what a language model is fed.
struct TokenBatch {
  Tensor tokens, targets;
  TokenBatch(std::int64_t batch, std::int64_t time) : tokens(i32, {batch, time}), targets(i32, {batch, time}) {}
};

/// The target that adds no loss: cross_entropy's ignore_index.
inline constexpr std::int32_t no_target = -100;

/// Fills a batch with windows at random places, each place equally likely. Run number `runs` with `seed` always gives
/// the same batch, so a resumed run continues with the same data. Needs tokens.size() > time.
void draw_windows(std::span<const std::int32_t> tokens, TokenBatch& batch, std::uint64_t seed, std::int64_t runs);

/// How many batches of this size cover tokens.size() - 1 predictions.
std::int64_t covering_batches(std::span<const std::int32_t> tokens, const TokenBatch& batch);
/// Batch `index` of windows that lie one after another and cover every prediction once. The last window may be short
/// and the last batch may have empty rows: their targets are `no_target`, their tokens 0.
void cover(std::span<const std::int32_t> tokens, TokenBatch& batch, std::int64_t index);

}  // namespace weft
