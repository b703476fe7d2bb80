#include <weft/graph/order.h>

#include <algorithm>
#include <optional>

namespace weft {
namespace {

using Facts = std::set<Fact>;

// What the order looks at.
struct Demand {
  std::string name;
  const std::vector<Fact>* needs;
  const std::vector<Fact>* forbids;
  const std::vector<Fact>* promises;
};

Demand demand_of(const Applied& applied) { return {applied.name, &applied.needs, &applied.forbids, &applied.promises}; }
Demand demand_of(const Transform& transform) {
  return {transform.name, &transform.needs, &transform.forbids, &transform.promises};
}

// Facts that hold before the first transform.
Facts facts_at_start(const Step& step) {
  Facts facts = step.facts;
  for (const Applied& applied : step.applied)
    for (const Fact& fact : applied.promises) facts.erase(fact);
  return facts;
}

bool is_legal(const std::vector<Demand>& demands, Facts facts) {
  for (const Demand& demand : demands) {
    for (const Fact& need : *demand.needs)
      if (!facts.contains(need)) return false;
    for (const Fact& forbidden : *demand.forbids)
      if (facts.contains(forbidden)) return false;
    facts.insert(demand.promises->begin(), demand.promises->end());
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
    std::vector<Demand> demands;
    for (const Applied& applied : step.applied) demands.push_back(demand_of(applied));
    demands.insert(demands.begin() + static_cast<std::ptrdiff_t>(at), demand_of(added));
    if (!is_legal(demands, facts_at_start(step))) continue;
    Order order{{}, at};
    for (const Demand& demand : demands) order.names.push_back(demand.name);
    return order;
  }
  return std::nullopt;
}

bool contains(const std::vector<Fact>& list, const Fact& fact) { return std::ranges::find(list, fact) != list.end(); }

// The first transform that promised `fact`: the one before which it would have to stand.
const Applied* promised_by(const Step& step, const Fact& fact) {
  for (const Applied& applied : step.applied)
    if (contains(applied.promises, fact)) return &applied;
  return nullptr;
}

[[noreturn]] void refuse_twice(const Step& step, const Transform& transform, const Fact& fact) {
  const Applied* by = promised_by(step, fact);
  const std::string name = by == nullptr ? "an earlier transform" : by->name;
  if (name == transform.name)
    WEFT_FAIL("{} can be applied once: {} by {} in {}; hint: leave one of the two out", transform.name, fact.meaning(),
              name, chain(step.history()));
  WEFT_FAIL("{} and {} exclude each other: {} by {} in {}; hint: leave one of the two out", transform.name, name,
            fact.meaning(), name, chain(step.history()));
}

[[noreturn]] void refuse_late(const Step& step, const Transform& transform, const std::vector<Fact>& found) {
  // Of several the one that came first: standing before it is standing before all.
  Fact fact = found.front();
  std::ptrdiff_t first = std::ssize(step.applied);
  for (const Fact& forbidden : found) {
    const Applied* by = promised_by(step, forbidden);
    if (by == nullptr || by - step.applied.data() >= first) continue;
    first = by - step.applied.data();
    fact = forbidden;
  }
  const Applied* by = promised_by(step, fact);
  const std::string culprit = by == nullptr ? "'" + fact.name() + "'" : by->name;
  const std::string reason = fact.meaning() + (by == nullptr ? "" : " by " + culprit);
  const auto order = right_order(step, transform);
  if (!order)
    WEFT_FAIL("{} cannot stand in one step with {}: {}, and there is no place for it in {}", transform.name, culprit,
              reason, chain(step.history()));
  WEFT_FAIL("{} must come before {}: {}; the right order: {}; hint: put {} {}", transform.name, culprit, reason,
            chain(order->names), transform.name,
            order->at == 0 ? "at the front" : "right after " + order->names[order->at - 1]);
}

[[noreturn]] void refuse_early(const Step& step, const Transform& transform, const Fact& need) {
  const std::string provider = need.provider();
  const std::string before = step.applied.empty() ? "an empty step" : chain(step.history());
  if (need.begins_chain())
    WEFT_FAIL("{} needs '{}', which nothing in {} provides; hint: {} | ... | {}", transform.name, need.name(), before,
              provider, transform.name);
  WEFT_FAIL("{} needs '{}', which nothing in {} provides; the right order: {} | {} | {}; hint: put {} before {}",
            transform.name, need.name(), before, before, provider, transform.name, provider, transform.name);
}

}  // namespace

std::string chain(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " | ") + name;
  return text;
}

void check_order(const Step& step, const Transform& transform) {
  std::vector<Fact> found;
  for (const Fact& forbidden : transform.forbids) {
    const auto holds = step.facts.find(forbidden);
    if (holds == step.facts.end()) continue;
    const Fact& fact = holds->has_words() ? *holds : forbidden;
    if (contains(transform.promises, fact)) refuse_twice(step, transform, fact);
    found.push_back(fact);
  }
  if (!found.empty()) refuse_late(step, transform, found);
  for (const Fact& need : transform.needs)
    if (!step.facts.contains(need)) refuse_early(step, transform, need);
}

}  // namespace weft
