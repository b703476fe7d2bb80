#include <optim/given_gradients.h>
#include <support/catch.h>

#include <algorithm>
#include <map>
#include <random>

using namespace weft;
using given::Model;

namespace {

// A transform that says of order what another says, and does nothing.
Transform shell(Transform transform) {
  transform.apply = [](Step step) { return step; };
  return transform;
}

std::vector<std::string> list(std::initializer_list<const char*> names) { return {names.begin(), names.end()}; }

// By short names: every transform that has a say in the order.
const std::map<std::string, Transform>& pool() {
  static const std::map<std::string, Transform> transforms{{"precision", shell(mixed_precision(bf16))},
                                                           {"scale", shell(scale_loss(dynamic_scale()))},
                                                           {"accumulate", shell(accumulate(4))},
                                                           {"fetch", shell(fetch_gradients())},
                                                           {"value", shell(clip_value(1.0))},
                                                           {"clip", shell(clip_global_norm(1.0))},
                                                           {"optimize", shell(optimize(adamw({})))},
                                                           {"average", shell(average_weights())},
                                                           {"checkpoint", shell(checkpoint(every_block()))}};
  return transforms;
}

const Transform& named(const std::string& name) {
  for (const auto& [key, transform] : pool())
    if (transform.name == name) return transform;
  throw std::out_of_range(name);
}

Step start() {
  static const Model model;
  static const Step step = training_step(model.loss);
  return step;
}

std::string refusal(const Step& step, const Transform& next) {
  try {
    const Step done = step | next;
    return "";
  } catch (const UserError& error) {
    return error.what();
  }
}

// The chain that a message proposes, as names; without what the pool lacks.
std::vector<std::string> proposed(const std::string& message) {
  const std::string mark = "the right order: ";
  const auto at = message.find(mark);
  if (at == std::string::npos) return {};
  std::string text = message.substr(at + mark.size());
  text = text.substr(0, text.find(';'));
  std::vector<std::string> names;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t bar = std::min(text.find(" | ", from), text.size());
    names.push_back(text.substr(from, bar - from));
    from = bar + 3;
  }
  return names;
}

// Builds a chain by short names; the first refusal, and what had been built then.
struct Attempt {
  Step built = start();
  std::string message;
  std::string refused;
};
Attempt attempt(const std::vector<std::string>& keys) {
  Attempt result;
  for (const std::string& key : keys) {
    result.message = refusal(result.built, pool().at(key));
    if (!result.message.empty()) {
      result.refused = pool().at(key).name;
      return result;
    }
    result.built = result.built | pool().at(key);
  }
  return result;
}

// A refusal is sound if it names both, and if the order that it proposes holds the same transforms and can be built.
void check_refusal(const Attempt& failed) {
  INFO(chain(failed.built.history()) << " | " << failed.refused << "\n" << failed.message);
  // Behind the user's line, where the transform has one.
  const std::size_t at = failed.message.find(failed.refused);
  CHECK((at == 0 || (failed.message.starts_with("order_test.cpp:") && failed.message.substr(at - 2, 2) == ": ")));
  const std::vector<std::string> order = proposed(failed.message);
  if (order.empty()) {  // only the same thing twice has no right order
    CHECK_THAT(failed.message,
               ContainsSubstring("can be applied once") && ContainsSubstring("hint: leave one of the two out"));
    return;
  }
  std::vector<std::string> want = failed.built.history(), got = order;
  want.push_back(failed.refused);
  if (failed.message.find(" needs '") != std::string::npos) {  // the order holds what is missing, too
    CHECK(got.size() == want.size() + 1);
    return;
  }
  REQUIRE(order.front() == "training_step");
  Step step = start();
  for (std::size_t i = 1; i < order.size(); ++i) {
    const std::string again = refusal(step, named(order[i]));
    INFO("at " << order[i] << ": " << again);
    REQUIRE(again.empty());
    step = step | named(order[i]);
  }
  std::ranges::sort(want);
  std::ranges::sort(got);
  CHECK(want == got);
}

}  // namespace

TEST_CASE("the right order of a full step is built, and loss scale and micro-batches may change places",
          "[core][optim][order]") {
  for (const auto& keys : {std::vector<std::string>{"precision", "scale", "accumulate", "value", "clip", "fetch",
                                                    "optimize", "average", "checkpoint"},
                           std::vector<std::string>{"precision", "accumulate", "scale", "fetch", "clip", "optimize",
                                                    "checkpoint", "average"},
                           std::vector<std::string>{"scale", "checkpoint", "clip", "optimize"}}) {
    const Attempt done = attempt(keys);
    CHECK(done.message == "");
    CHECK(done.built.applied.size() == keys.size() + 1);
  }
}

TEST_CASE("of any two transforms exactly the wrong orders are refused", "[core][optim][order]") {
  // second: what must not stand before it
  const std::map<std::string, std::vector<std::string>> never_after{
      {"precision", list({"precision", "scale", "accumulate", "fetch", "value", "clip", "optimize", "checkpoint"})},
      {"scale", list({"scale", "fetch", "value", "clip", "optimize", "checkpoint"})},
      {"accumulate", list({"accumulate", "fetch", "value", "clip", "optimize", "checkpoint"})},
      {"fetch", {}},
      {"value", list({"optimize"})},
      {"clip", list({"optimize"})},
      {"optimize", list({"optimize"})},
      {"checkpoint", list({"checkpoint"})}};
  std::size_t refused = 0;
  for (const auto& [second, wrong] : never_after)
    for (const auto& [first, unused] : never_after) {
      INFO(first << " | " << second);
      const Attempt result = attempt({first, second});
      const bool is_wrong = std::ranges::find(wrong, first) != wrong.end();
      CHECK(result.message.empty() != is_wrong);
      if (!is_wrong) continue;
      ++refused;
      CHECK_THAT(result.message, ContainsSubstring(pool().at(first).name) && ContainsSubstring(pool().at(second).name));
      check_refusal(result);
    }
  CHECK(refused == 24);
}

TEST_CASE("every refusal of every chain of four proposes an order that can be built", "[core][optim][order]") {
  std::vector<std::string> keys;
  for (const auto& [key, transform] : pool()) keys.push_back(key);
  std::size_t legal = 0, refused = 0;
  std::mt19937 random(3);
  for (std::size_t a = 0; a < keys.size(); ++a)
    for (std::size_t b = 0; b < keys.size(); ++b)
      for (std::size_t c = 0; c < keys.size(); ++c) {
        const std::size_t d = random() % keys.size();
        const Attempt result = attempt({keys[a], keys[b], keys[c], keys[d]});
        if (result.message.empty()) ++legal;
        else check_refusal(result);
        refused += result.message.empty() ? 0 : 1;
      }
  CHECK(legal > 20);
  CHECK(refused > 300);
}

TEST_CASE("the message says both transforms, why, the right order and what to do", "[core][optim][order][errors]") {
  Model model;
  const Step clipped = training_step(model.loss) | clip_value(1.0) | clip_global_norm(1.0) | optimize(adamw({}));
  CHECK_THROWS_WITH(
      clipped | scale_loss(dynamic_scale()),
      StartsWith("order_test.cpp:") &&
          EndsWith("scale_loss must come before clip_value: the gradients are already unscaled, divided by the weight "
                   "of the loss and checked by "
                   "clip_value; the right order: training_step | scale_loss | clip_value | clip_global_norm | "
                   "optimize(adamw); hint: put "
                   "scale_loss right after training_step"));
  CHECK_THROWS_WITH(
      clipped | clip_norm(1.0),
      StartsWith("order_test.cpp:") && EndsWith("clip_norm must come before optimize(adamw): the parameters are "
                                                "already updated by optimize(adamw); the right "
                                                "order: training_step | "
                                                "clip_value | clip_global_norm | clip_norm | optimize(adamw); "
                                                "hint: put clip_norm right after clip_global_norm"));
  CHECK_THROWS_WITH(
      training_step(model.loss) | scale_loss(static_scale(8)) | scale_loss(static_scale(8)),
      StartsWith("order_test.cpp:") &&
          EndsWith("scale_loss can be applied once: the loss is already scaled by scale_loss in training_step | "
                   "scale_loss; hint: leave one of the "
                   "two out"));
  CHECK_THROWS_WITH(
      training_step(model.loss) | pool().at("average"),
      StartsWith("order_test.cpp:") &&
          EndsWith("average_weights needs 'optimized', which nothing in training_step provides; the right order: "
                   "training_step | optimize(adamw()) | "
                   "average_weights; hint: put optimize(adamw()) before average_weights"));
  CHECK_THROWS_WITH(evaluation(model.loss) | scale_loss(static_scale(8)),
                    ContainsSubstring("scale_loss needs 'gradients', which nothing in evaluation provides; hint: "
                                      "training_step(loss) | ... | scale_loss"));
}

TEST_CASE("transforms that exclude each other, or have no place, are told so", "[core][optim][order][errors]") {
  const Transform over_runs = shell(accumulate_over_runs(4));
  CHECK_THROWS_WITH(start() | pool().at("accumulate") | over_runs,
                    ContainsSubstring("accumulate_over_runs(4) and accumulate(4) exclude each other: the gradients are "
                                      "already summed over micro-batches by "
                                      "accumulate(4)") &&
                        ContainsSubstring("hint: leave one of the two out"));
  // Two transforms of a user's, each of which wants to be first.
  const Transform a = shell({.name = "a", .forbids = {"b done"}, .promises = {"a done"}, .apply = {}});
  const Transform b = shell({.name = "b", .forbids = {"a done"}, .promises = {"b done"}, .apply = {}});
  CHECK_THROWS_WITH(start() | a | b,
                    "b cannot stand in one step with a: this step is already 'a done' by a, and there is no place for "
                    "it in training_step | a");
  const Transform c = shell({.name = "c", .needs = {"b done"}, .apply = {}});
  CHECK_THROWS_WITH(start() | c,
                    ContainsSubstring("the right order: training_step | a transform that promises 'b done' | c"));
  // A user's transform that unscales by itself is named by what it brought, even if it did not say so.
  const Transform quiet{.name = "quiet", .apply = [](Step step) {
                          step.facts.insert("unscaled");
                          return step;
                        }};
  CHECK_THROWS_WITH(start() | quiet | pool().at("scale"), ContainsSubstring("scale_loss must come before quiet"));
}

TEST_CASE("transforms of one kind keep what the user wrote: the new one goes as late as it can",
          "[core][optim][order]") {
  const Attempt result = attempt({"precision", "accumulate", "clip", "optimize", "scale"});
  CHECK(proposed(result.message) == list({"training_step", "mixed_precision(bf16)", "accumulate(4)", "scale_loss",
                                          "clip_global_norm", "optimize(adamw)"}));
  const Attempt low = attempt({"scale", "clip", "precision"});
  CHECK(proposed(low.message) == list({"training_step", "mixed_precision(bf16)", "scale_loss", "clip_global_norm"}));
  CHECK_THAT(
      low.message,
      ContainsSubstring("mixed_precision(bf16) must come before scale_loss: the loss is already scaled by scale_loss"));
}
