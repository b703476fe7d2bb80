// The text of a run, as tokens.
#pragma once

#include "options.h"

#include <weft/io/text.h>

#include <cstdint>
#include <span>
#include <vector>

namespace train_gpt {

struct Data {
  weft::CharVocabulary vocabulary;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> prompt;

  std::span<const std::int32_t> training() const { return std::span(tokens).first(tokens.size() * 9 / 10); }
  std::span<const std::int32_t> held_out() const { return std::span(tokens).subspan(tokens.size() * 9 / 10); }
};

/// Reads the text; a new run takes its vocabulary from it and notes it in the recipe, a resumed one has it there.
/// UserError: no text, too short for the context, a character that a resumed run's vocabulary lacks.
Data read_data(const Options& options, Recipe& recipe);

}  // namespace train_gpt
