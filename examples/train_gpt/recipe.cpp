#include "recipe.h"

#include <weft/graph/error.h>

#include <nlohmann/json.hpp>

namespace train_gpt {

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
