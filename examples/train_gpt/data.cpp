#include "data.h"

#include <weft/graph/error.h>
#include <weft/runtime/random.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace train_gpt {

Data read_data(const Options& options, Recipe& recipe) {
  const std::string bytes = weft::read_text(options.text);
  const std::u32string text = weft::decode_utf8(bytes);
  const std::string hash = fmt::format("{:016x}", weft::stream_of(bytes));
  const bool resumed = !recipe.characters.empty();
  if (resumed && hash != recipe.text_hash)
    fmt::print(stderr, "train_gpt: '{}' is another text than the one the run began with\n", options.text);
  if (!resumed) recipe.characters = weft::encode_utf8(weft::CharVocabulary(text).characters());
  recipe.text_hash = hash;

  // A window and its last target in the first nine tenths, one prediction in the last.
  const auto least = std::max<std::size_t>(11, (static_cast<std::size_t>(recipe.context + 1) * 10 + 8) / 9);
  WEFT_CHECK(text.size() >= least,
             "'{}' is too short: a context of {} needs a text of at least {} characters, it has {}", options.text,
             recipe.context, least, text.size());

  Data data{weft::CharVocabulary(weft::decode_utf8(recipe.characters)), {}, {}};
  data.tokens = data.vocabulary.encode(text);
  if (options.sample > 0) {
    const std::u32string prompt = weft::decode_utf8(options.prompt);
    if (prompt == U"\n" && data.vocabulary.characters().find(U'\n') == std::u32string::npos)
      data.prompt = {data.tokens.front()};
    else data.prompt = data.vocabulary.encode(prompt);
    WEFT_CHECK(!data.prompt.empty(), "--prompt is empty; hint: --sample 0 writes no text");
  }
  return data;
}

}  // namespace train_gpt
