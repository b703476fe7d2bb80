#include <weft/graph/order.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace weft {
namespace {

using Facts = std::set<std::string>;

// What holds once a fact has been promised, and which transform of weft's promises it. A user's fact is spelled as it
// is.
struct Words {
  std::string_view fact, meaning, provider;
};
constexpr std::array<Words, 8> words{{
    {"gradients", "the backward pass is built", "training_step(loss)"},
    {"low_precision", "the forward pass already runs in low precision", "mixed_precision(bf16)"},
    {"scaled", "the loss is already scaled", "scale_loss(dynamic_scale())"},
    {"accumulated", "the gradients are already summed over micro-batches", "accumulate(k)"},
    {"settled", "the gradients are already unscaled, divided by the weight of the loss and checked",
     "fetch_gradients()"},
    {"clipped", "the gradients are already clipped", "clip_global_norm(1.0)"},
    {"optimized", "the parameters are already updated", "optimize(adamw())"},
    {"checkpointed", "the step is already lowered, with parts of it to be recomputed", "checkpoint(...)"},
}};

const Words* words_of(const std::string& fact) {
  const auto at = std::ranges::find(words, fact, &Words::fact);
  return at == words.end() ? nullptr : &*at;
}

std::string meaning_of(const std::string& fact) {
  const Words* found = words_of(fact);
  return found == nullptr ? "this step is already '" + fact + "'" : std::string(found->meaning);
}

// What the order looks at.
struct Place {
  std::string name;
  const std::vector<std::string>* needs;
  const std::vector<std::string>* forbids;
  const std::vector<std::string>* promises;
};

Place place_of(const Applied& applied) { return {applied.name, &applied.needs, &applied.forbids, &applied.promises}; }
Place place_of(const Transform& transform) {
  return {transform.name, &transform.needs, &transform.forbids, &transform.promises};
}

// Facts that hold before the first transform.
Facts facts_at_start(const Step& step) {
  Facts facts = step.facts;
  for (const Applied& applied : step.applied)
    for (const std::string& fact : applied.promises) facts.erase(fact);
  return facts;
}

bool is_legal(const std::vector<Place>& places, Facts facts) {
  for (const Place& place : places) {
    for (const std::string& need : *place.needs)
      if (!facts.contains(need)) return false;
    for (const std::string& forbidden : *place.forbids)
      if (facts.contains(forbidden)) return false;
    facts.insert(place.promises->begin(), place.promises->end());
  }
  return true;
}

struct Order {
  std::vector<std::string> names;
  std::size_t at;  // of the added one
};

// The latest place at which `added` and everything after it is legal: the smallest change of what the user wrote.
std::optional<Order> right_order(const Step& step, const Transform& added) {
  for (std::size_t at = step.applied.size(); at-- > 0;) {
    std::vector<Place> places;
    for (const Applied& applied : step.applied) places.push_back(place_of(applied));
    places.insert(places.begin() + static_cast<std::ptrdiff_t>(at), place_of(added));
    if (!is_legal(places, facts_at_start(step))) continue;
    Order order{{}, at};
    for (const Place& place : places) order.names.push_back(place.name);
    return order;
  }
  return std::nullopt;
}

bool contains(const std::vector<std::string>& list, const std::string& text) {
  return std::ranges::find(list, text) != list.end();
}

// The first transform that promised `fact`: the one before which it would have to stand.
const Applied* promised_by(const Step& step, const std::string& fact) {
  for (const Applied& applied : step.applied)
    if (contains(applied.promises, fact)) return &applied;
  return nullptr;
}

[[noreturn]] void refuse_twice(const Step& step, const Transform& transform, const std::string& fact) {
  const Applied* by = promised_by(step, fact);
  const std::string name = by == nullptr ? "an earlier transform" : by->name;
  if (name == transform.name)
    WEFT_FAIL("{} can be applied once: {} by {} in {}; hint: leave one of the two out", transform.name,
              meaning_of(fact), name, chain(step.history()));
  WEFT_FAIL("{} and {} exclude each other: {} by {} in {}; hint: leave one of the two out", transform.name, name,
            meaning_of(fact), name, chain(step.history()));
}

[[noreturn]] void refuse_late(const Step& step, const Transform& transform, const std::vector<std::string>& found) {
  // Of several the one that came first: standing before it is standing before all.
  std::string fact = found.front();
  std::ptrdiff_t first = std::ssize(step.applied);
  for (const std::string& forbidden : found) {
    const Applied* by = promised_by(step, forbidden);
    if (by == nullptr || by - step.applied.data() >= first) continue;
    first = by - step.applied.data();
    fact = forbidden;
  }
  const Applied* by = promised_by(step, fact);
  const std::string culprit = by == nullptr ? "'" + fact + "'" : by->name;
  const std::string reason = meaning_of(fact) + (by == nullptr ? "" : " by " + culprit);
  const auto order = right_order(step, transform);
  if (!order)
    WEFT_FAIL("{} cannot stand in one step with {}: {}, and there is no place for it in {}", transform.name, culprit,
              reason, chain(step.history()));
  WEFT_FAIL("{} must come before {}: {}; the right order: {}; hint: put {} {}", transform.name, culprit, reason,
            chain(order->names), transform.name,
            order->at == 0 ? "at the front" : "right after " + order->names[order->at - 1]);
}

[[noreturn]] void refuse_early(const Step& step, const Transform& transform, const std::string& need) {
  const Words* found = words_of(need);
  const std::string provider =
      found == nullptr ? "a transform that promises '" + need + "'" : std::string(found->provider);
  const std::string before = step.applied.empty() ? "an empty step" : chain(step.history());
  if (need == "gradients")
    WEFT_FAIL("{} needs 'gradients', which nothing in {} provides; hint: training_step(loss) | ... | {}",
              transform.name, before, transform.name);
  WEFT_FAIL("{} needs '{}', which nothing in {} provides; the right order: {} | {} | {}; hint: put {} before {}",
            transform.name, need, before, before, provider, transform.name, provider, transform.name);
}

}  // namespace

std::string chain(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " | ") + name;
  return text;
}

void check_order(const Step& step, const Transform& transform) {
  std::vector<std::string> found;
  for (const std::string& forbidden : transform.forbids) {
    if (!step.facts.contains(forbidden)) continue;
    if (contains(transform.promises, forbidden)) refuse_twice(step, transform, forbidden);
    found.push_back(forbidden);
  }
  if (!found.empty()) refuse_late(step, transform, found);
  for (const std::string& need : transform.needs)
    if (!step.facts.contains(need)) refuse_early(step, transform, need);
}

}  // namespace weft
