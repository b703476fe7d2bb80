// The flags of train_gpt.
#pragma once

#include "recipe.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace train_gpt {

struct Options {
  Recipe recipe;
  std::set<std::string> given;  ///< flags that stand on the command line, without dashes
  std::string text, log, save, resume;
  bool overwrite = false;
  std::int64_t most_skipped = 20;
  std::int64_t eval_every = 500;
  std::int64_t stop_after = 0;  ///< 0: never
  int threads = 0;
  std::int64_t sample = 400;
  std::string prompt = "\n";
  double temperature = 0.8;
  std::string attention;                                        ///< file for a picture; empty: none
  std::string attention_text;                                   ///< empty: the beginning of the held-out tenth
  std::vector<std::int64_t> attention_layers, attention_heads;  ///< empty: all
  std::string attention_divide = "nothing";
};

/// The options, or the exit code if the program is to end: after --help, or after a message on stderr.
struct ParsedOptions {
  std::optional<Options> options;
  int exit_code = 0;
};
ParsedOptions parse_options(int argc, char** argv);

/// The recipe under which to go on: the saved one, with what is given and may change. UserError: a flag that was given
/// asks for what the save cannot be.
Recipe merge_saved(const Options& options, const Recipe& saved);

/// Fills in what depends on other fields, and validates all of them. UserError, which begins with `where`.
void resolve(Recipe& recipe, const std::string& where);

/// UserError: a file to be written is the text, the save that is resumed, or one that is there already (of another run);
/// --overwrite allows the last two.
void expect_own_files(const Options& options);

}  // namespace train_gpt
