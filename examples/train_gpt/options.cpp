#include "options.h"

#include <weft/graph/error.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>

namespace train_gpt {
namespace {

const CLI::Range at_least_1(1, 1 << 30, "INT >= 1");
const CLI::Range at_least_0(0, 1 << 30, "INT >= 0");
const CLI::Range not_negative(0.0, 1e300, "NUMBER >= 0");

// CLI11's ranges let NaN pass: every comparison with it is false.
const CLI::Validator below_1(
    [](std::string& text) {
      const double value = std::strtod(text.c_str(), nullptr);
      return value >= 0 && value < 1 ? std::string() : "Value " + text + " not in [0, 1)";
    },
    "NUMBER in [0, 1)");
const CLI::Validator positive(
    [](std::string& text) {
      const double value = std::strtod(text.c_str(), nullptr);
      return value > 0 && std::isfinite(value) ? std::string() : "Value " + text + " is not a positive number";
    },
    "NUMBER > 0");

void add_recipe(CLI::App& app, Recipe& recipe) {
  app.add_option("--layers", recipe.layers, "Decoder layers")->check(at_least_1)->group("Model");
  app.add_option("--heads", recipe.heads, "Attention heads; must divide the width")->check(at_least_1)->group("Model");
  app.add_option("--width", recipe.width, "Width of the residual stream")->check(at_least_1)->group("Model");
  app.add_option("--context", recipe.context, "Characters that the model sees")->check(at_least_1)->group("Model");
  app.add_option("--activation", recipe.activation, "Of the feed-forward")
      ->check(CLI::IsMember({"gelu", "gelu_tanh", "relu", "silu"}))
      ->group("Model");
  app.add_flag("--bias", recipe.bias, "Biases in projections and norms")->group("Model");
  app.add_flag("--untied", recipe.untied, "A head of its own instead of the token embedding")->group("Model");
  app.add_option("--dropout", recipe.dropout, "Probability")->check(below_1)->group("Model");
  app.add_option("--batch", recipe.batch, "Windows of a step")->check(at_least_1)->group("Training");
  app.add_option("--steps", recipe.steps, "Steps of the whole schedule")->check(at_least_1)->group("Training");
  app.add_option("--rate", recipe.rate, "Highest learning rate")->check(positive)->group("Training");
  app.add_option("--least-rate", recipe.least_rate, "Learning rate at the end (a tenth of the highest)")
      ->check(not_negative)
      ->default_str("")
      ->group("Training");
  app.add_option("--warmup", recipe.warmup, "Steps to the highest rate (100)")
      ->check(at_least_0)
      ->default_str("")
      ->group("Training");
  app.add_option("--beta1", recipe.beta1, "AdamW")->check(below_1)->group("Training");
  app.add_option("--beta2", recipe.beta2, "AdamW")->check(below_1)->group("Training");
  app.add_option("--weight-decay", recipe.weight_decay, "Of tensors with two and more axes")
      ->check(not_negative)
      ->group("Training");
  app.add_option("--clip", recipe.clip, "Largest norm of the gradient; 0: no clipping")
      ->check(not_negative)
      ->group("Training");
  app.add_option("--seed", recipe.seed, "Of weights, batches and dropout")->group("Training");
}

void add_attention(CLI::App& app, Options& options) {
  const char* const group = "Picture of the attention";
  app.add_option("--attention", options.attention, "File to write at the end: FILE.svg, or FILE.txt for a terminal")
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
      "stdout is JSON lines, stderr is for people. SIGINT saves and exits.",
      "train_gpt");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // the last word counts
  app.option_defaults()->always_capture_default();
  app.add_option("--text", options.text, "File to learn from, UTF-8")->required();
  add_recipe(app, options.recipe);
  app.add_option("--eval-every", options.eval_every,
                 "Steps between evaluations on the held-out tenth; 0: only at the end")
      ->check(at_least_0)
      ->group("Running");
  app.add_option("--log", options.log, "File for the JSON lines too; continued by --resume")->group("Running");
  app.add_option("--save", options.save, "File for the run, written at evaluations, at the end and when stopped")
      ->group("Running");
  app.add_option("--resume", options.resume, "Saved run to go on with, under its own recipe")->group("Running");
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

void resolve(Recipe& recipe) {
  WEFT_CHECK(recipe.width % recipe.heads == 0, "--heads must divide --width, got {} heads and width {}", recipe.heads,
             recipe.width);
  if (recipe.warmup < 0) recipe.warmup = recipe.steps > 100 ? 100 : recipe.steps / 10;
  WEFT_CHECK(recipe.warmup < recipe.steps, "--warmup must be less than --steps, got {} and {}", recipe.warmup,
             recipe.steps);
  if (recipe.least_rate < 0) recipe.least_rate = recipe.rate / 10;
  WEFT_CHECK(recipe.least_rate <= recipe.rate, "--least-rate must be at most --rate, got {} and {}", recipe.least_rate,
             recipe.rate);
}

}  // namespace train_gpt
