#include "recipe.h"

#include <weft/graph/error.h>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <string_view>

namespace train_gpt {
namespace {

constexpr std::int64_t most = 1 << 30;
constexpr std::string_view activations[] = {"gelu", "gelu_tanh", "relu", "silu"};

}  // namespace


void validate(const Recipe& recipe, const std::string& where) {
  const auto whole = [&](const char* flag, std::int64_t value, std::int64_t least) {
    WEFT_CHECK(value >= least && value <= most, "{}--{} must be a number from {} to {}, got {}", where, flag, least, most,
               value);
  };
  const auto real = [&](const char* flag, double value, double least, bool open, double end) {
    const bool high = value < end || (std::isinf(end) && std::isfinite(value));
    WEFT_CHECK((open ? value > least : value >= least) && high, "{}--{} must be {}, got {}", where, flag,
               std::isinf(end) ? (open ? "a positive number" : "a number that is not negative") : "in [0, 1)", value);
  };
  constexpr double infinity = std::numeric_limits<double>::infinity();
  whole("layers", recipe.layers, 1);
  whole("heads", recipe.heads, 1);
  whole("width", recipe.width, 1);
  whole("context", recipe.context, 1);
  whole("batch", recipe.batch, 1);
  whole("steps", recipe.steps, 1);
  whole("warmup", recipe.warmup, -1);
  real("dropout", recipe.dropout, 0, false, 1);
  real("rate", recipe.rate, 0, true, infinity);
  if (recipe.least_rate != -1) real("least-rate", recipe.least_rate, 0, false, infinity);
  real("beta1", recipe.beta1, 0, false, 1);
  real("beta2", recipe.beta2, 0, false, 1);
  real("weight-decay", recipe.weight_decay, 0, false, infinity);
  real("clip", recipe.clip, 0, false, infinity);
  WEFT_CHECK(std::ranges::find(activations, recipe.activation) != std::end(activations),
             "{}--activation must be one of {}, got '{}'", where, fmt::join(activations, ", "), recipe.activation);
  WEFT_CHECK(recipe.width % recipe.heads == 0, "{}--heads must divide --width, got {} heads and width {}", where,
             recipe.heads, recipe.width);
  WEFT_CHECK(recipe.warmup < recipe.steps, "{}--warmup must be less than --steps, got {} and {}", where, recipe.warmup,
             recipe.steps);
  WEFT_CHECK(recipe.least_rate <= recipe.rate, "{}--least-rate must be at most --rate, got {} and {}", where,
             recipe.least_rate, recipe.rate);
}

std::string to_json(const Recipe& recipe) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  each_field(recipe, [&](const char* name, const auto& value, Change) { json[name] = value; });
  json["characters"] = recipe.characters;
  json["text-hash"] = recipe.text_hash;
  return json.dump();
}

Recipe from_json(const std::string& text) {
  Recipe recipe;
  try {
    const auto json = nlohmann::json::parse(text);
    each_field(recipe, [&](const char* name, auto& value, Change) { json.at(name).get_to(value); });
    json.at("characters").get_to(recipe.characters);
    json.at("text-hash").get_to(recipe.text_hash);
  } catch (const nlohmann::json::exception& error) {
    WEFT_FAIL("the save holds no recipe of train_gpt ({})", error.what());
  }
  return recipe;
}

}  // namespace train_gpt
