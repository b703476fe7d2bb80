#include "options.h"

#include <weft/graph/error.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <utility>

namespace train_gpt {
namespace {

const CLI::Range at_least_1(1, 1 << 30, "INT >= 1");
const CLI::Range at_least_0(0, 1 << 30, "INT >= 0");

// CLI11's ranges let NaN pass: every comparison with it is false.
const CLI::Validator positive(
    [](std::string& text) {
      const double value = std::strtod(text.c_str(), nullptr);
      return value > 0 && std::isfinite(value) ? std::string() : "Value " + text + " is not a positive number";
    },
    "NUMBER > 0");
const CLI::Validator file_name([](std::string& text) { return text.empty() ? "it needs the name of a file" : ""; },
                               "FILE");

void add_recipe(CLI::App& app, Recipe& recipe) {
  app.add_option("--layers", recipe.layers, "Decoder layers")->group("Model");
  app.add_option("--heads", recipe.heads, "Attention heads; must divide the width")->group("Model");
  app.add_option("--width", recipe.width, "Width of the residual stream")->group("Model");
  app.add_option("--context", recipe.context, "Characters that the model sees")->group("Model");
  app.add_option("--activation", recipe.activation, "Of the feed-forward: gelu, gelu_tanh, relu or silu")
      ->group("Model");
  app.add_flag("--bias", recipe.bias, "Biases in projections and norms")->group("Model");
  app.add_flag("--untied", recipe.untied, "A head of its own instead of the token embedding")->group("Model");
  app.add_option("--dropout", recipe.dropout, "Probability, below 1")->group("Model");
  app.add_option("--batch", recipe.batch, "Windows of a step")->group("Training");
  app.add_option("--steps", recipe.steps, "Steps of the whole schedule")->group("Training");
  app.add_option("--rate", recipe.rate, "Highest learning rate")->group("Training");
  app.add_option("--least-rate", recipe.least_rate, "Learning rate at the end (a tenth of the highest)")
      ->default_str("")
      ->group("Training");
  app.add_option("--warmup", recipe.warmup, "Steps to the highest rate (100)")->default_str("")->group("Training");
  app.add_option("--beta1", recipe.beta1, "AdamW")->group("Training");
  app.add_option("--beta2", recipe.beta2, "AdamW")->group("Training");
  app.add_option("--weight-decay", recipe.weight_decay, "Of tensors with two and more axes")->group("Training");
  app.add_option("--clip", recipe.clip, "Largest norm of the gradient; 0: no clipping")->group("Training");
  app.add_option("--seed", recipe.seed, "Of weights, batches and dropout")->group("Training");
}

void add_attention(CLI::App& app, Options& options) {
  const char* const group = "Picture of the attention";
  app.add_option("--attention", options.attention, "File to write at the end: FILE.svg, or FILE.txt for a terminal")
      ->check(file_name)
      ->default_str("")
      ->group(group);
  app.add_option("--attention-text", options.attention_text, "What it attends over (the first 64 held-out characters)")
      ->default_str("")
      ->group(group);
  app.add_option("--attention-layers", options.attention_layers, "Such as 0,3 (all)")
      ->delimiter(',')
      ->take_all()
      ->check(at_least_0)
      ->default_str("")
      ->group(group);
  app.add_option("--attention-heads", options.attention_heads, "Of each layer, such as 0,1 (all)")
      ->delimiter(',')
      ->take_all()
      ->check(at_least_0)
      ->default_str("")
      ->group(group);
  app.add_option("--attention-divide", options.attention_divide, "By the sum of each row or column, or by its peak")
      ->check(CLI::IsMember({"nothing", "rows", "columns", "peaks"}))
      ->group(group);
}

}  // namespace

ParsedOptions parse_options(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Trains a GPT on the characters of a text; the last tenth is held out.\n"
      "stdout is JSON lines, stderr is for people. SIGINT, SIGTERM and SIGHUP save and exit.\n"
      "Whatever ends a run, it is saved first. Exit code: 0 done, 1 failed, 3 stopped early by a signal,\n"
      "4 diverged (the last good save is kept), 100 and more: a flag was not understood.",
      "train_gpt");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // the last word counts
  app.option_defaults()->always_capture_default();
  app.add_option("--text", options.text, "File to learn from, UTF-8")->required()->check(file_name);
  add_recipe(app, options.recipe);
  app.add_option("--eval-every", options.eval_every,
                 "Steps between evaluations on the held-out tenth; 0: only at the end")
      ->check(at_least_0)
      ->group("Running");
  app.add_option("--log", options.log, "File for the JSON lines too; continued by --resume")
      ->check(file_name)
      ->group("Running");
  app.add_option("--save", options.save, "File for the run, written at evaluations, at the end and when stopped")
      ->check(file_name)
      ->group("Running");
  app.add_option("--resume", options.resume, "Saved run to go on with, under its own recipe")
      ->check(file_name)
      ->group("Running");
  app.add_flag("--overwrite", options.overwrite, "Write onto a --save or --log that is there already")
      ->group("Running");
  app.add_option("--most-skipped", options.most_skipped,
                 "So many steps in a row without a finite loss and gradient end the run")
      ->check(at_least_1)
      ->group("Running");
  app.add_option("--stop-after", options.stop_after, "Save and leave after this step; the schedule stays")
      ->check(at_least_1)
      ->default_str("")
      ->group("Running");
  app.add_option("--threads", options.threads, "0: one for each processor")
      ->check(CLI::Range(0, 256))
      ->group("Running");
  app.add_option("--sample", options.sample, "Characters to write at the end")->check(at_least_0)->group("Running");
  app.add_option("--prompt", options.prompt, "What the sample begins with (a new line)")
      ->default_str("")
      ->group("Running");
  app.add_option("--temperature", options.temperature, "Of the sample")->check(positive)->group("Running");
  add_attention(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, app.exit(error)};
  }
  each_field(options.recipe, [&](const std::string& flag, const auto&, Change) {
    if (app.count("--" + flag) > 0) options.given.insert(flag);
  });
  return {options, 0};
}

Recipe merge_saved(const Options& options, const Recipe& saved) {
  Recipe merged = saved;
  std::string differences;
  auto merge = [&](const std::string& flag, auto& value, const auto& wanted, Change change) {
    if (!options.given.contains(flag) || wanted == value) return;
    if (change == Change::forbidden) differences += fmt::format("\n  --{} {}, the save has {}", flag, wanted, value);
    value = wanted;
  };
  each_field(merged, [&](const std::string& flag, auto& value, Change change) {
    each_field(options.recipe, [&](const std::string& other, const auto& wanted, Change) {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, std::remove_cvref_t<decltype(wanted)>>)
        if (other == flag) merge(flag, value, wanted, change);
    });
  });
  WEFT_CHECK(differences.empty(), "'{}' cannot go on with other settings:{}", options.resume, differences);
  return merged;
}

void resolve(Recipe& recipe, const std::string& where) {
  validate(recipe, where);
  if (recipe.warmup < 0) recipe.warmup = recipe.steps > 100 ? 100 : recipe.steps / 10;
  if (recipe.least_rate < 0) recipe.least_rate = recipe.rate / 10;
  validate(recipe, where);
}

namespace {

bool same_file(const std::string& a, const std::string& b) {
  namespace fs = std::filesystem;
  if (a.empty() || b.empty()) return false;
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;
  return fs::weakly_canonical(fs::absolute(a), error) == fs::weakly_canonical(fs::absolute(b), error);
}

}  // namespace

void expect_own_files(const Options& options) {
  struct File {
    const char* flag;
    const std::string& path;
  };
  const File text{"--text", options.text}, save{"--save", options.save}, log{"--log", options.log},
      picture{"--attention", options.attention}, resume{"--resume", options.resume};
  for (const auto& [a, b] : {std::pair{save, text},
                             {log, text},
                             {picture, text},
                             {log, save},
                             {picture, save},
                             {picture, log},
                             {log, resume},
                             {picture, resume}})
    WEFT_CHECK(!same_file(a.path, b.path), "{} and {} are the same file, '{}'", a.flag, b.flag, a.path);
  if (options.overwrite) return;
  constexpr const char* hint = "hint: another name, or --overwrite";
  WEFT_CHECK(!same_file(save.path, resume.path), "--save is the save that is resumed, '{}'; {}", save.path, hint);
  std::error_code error;
  WEFT_CHECK(save.path.empty() || !std::filesystem::exists(save.path, error),
             "--save '{}' is there already, perhaps of another run; {}, or --resume it", save.path, hint);
  WEFT_CHECK(log.path.empty() || !resume.path.empty() || !std::filesystem::is_regular_file(log.path, error),
             "--log '{}' is there already, of another run; {}", log.path, hint);
}

}  // namespace train_gpt
