#include <weft/graph/order.h>
#include <weft/graph/step.h>
#include <weft/graph/user_rule.h>
#include <weft/graph/verify.h>

#include <algorithm>
#include <iterator>
#include <optional>

namespace weft {

Step::Step() = default;
Step::Step(const Step&) = default;
Step::Step(Step&&) noexcept = default;
Step& Step::operator=(const Step&) = default;
Step& Step::operator=(Step&&) noexcept = default;
Step::~Step() = default;

bool Step::has_fetch(std::string_view name) const {
  return std::ranges::any_of(fetches, [&](const Fetch& fetch) { return fetch.name == name; });
}

Value Step::fetch(std::string_view name) const {
  std::string names;
  for (const Fetch& fetch : fetches) {
    if (fetch.name == name) return fetch.value;
    names += (names.empty() ? "" : ", ") + fetch.name;
  }
  WEFT_FAIL("this step publishes no '{}'; there are: {}", name, names.empty() ? "none" : names);
}

void Step::set_fetch(std::string_view name, const Value& value) {
  for (Fetch& fetch : fetches)
    if (fetch.name == name) {
      fetch.value = value;
      return;
    }
  fetches.push_back({std::string(name), value});
}

const Gradient* Step::gradient_of(const Value& parameter) const {
  const Value here = find(parameter);
  for (const Gradient& gradient : gradients)
    if (gradient.parameter == here) return &gradient;
  return nullptr;
}

std::vector<std::string> Step::history() const {
  std::vector<std::string> names;
  for (const Applied& transform : applied) names.push_back(transform.name);
  return names;
}

namespace {

using Kind = StepRole::Kind;

// Every value of a step, the only list of them. The gradients come last: they are what comes to be from all others.
template <class AnyStep, class Visit>
void visit_values(AnyStep& step, const Visit& visit) {
  for (auto& term : step.loss.terms) {
    visit(term.sum, StepRole{Kind::loss_sum});
    visit(term.weight, StepRole{Kind::loss_weight});
  }
  visit(step.loss_value, StepRole{Kind::loss});
  for (auto& seed : step.seeds) visit(seed, StepRole{Kind::seed});
  for (auto& parameter : step.parameters) visit(parameter, StepRole{Kind::parameter});
  for (auto& fetch : step.fetches) visit(fetch.value, StepRole{Kind::fetch, fetch.name});
  for (auto& update : step.updates) {
    visit(update.state, StepRole{Kind::state});
    visit(update.value, StepRole{Kind::update, {}, &update.state});
  }
  visit(step.taken, StepRole{Kind::taken});
  visit(step.due, StepRole{Kind::due});
  visit(step.gradient_weight, StepRole{Kind::gradient_weight});
  if (step.loss_scale) {
    visit(step.loss_scale->scale, StepRole{Kind::scale});
    visit(step.loss_scale->tracker, StepRole{Kind::scale_tracker});
  }
  for (auto& gradient : step.gradients) {
    visit(gradient.parameter, StepRole{Kind::differentiated});
    visit(gradient.value, StepRole{Kind::gradient, {}, &gradient.parameter});
  }
}

// What holds of a kind, in one row.
struct KindTraits {
  Kind kind;
  bool root, once_a_step, of_gradients;
  const char* words;
};
constexpr KindTraits kinds[] = {
    {Kind::loss_sum, false, false, false, "the sum of a loss term"},
    {Kind::loss_weight, false, false, false, "the weight of a loss term"},
    {Kind::loss, false, true, false, "the loss"},
    {Kind::seed, false, false, false, "a seed of the backward pass"},
    {Kind::parameter, false, false, false, "a parameter"},
    {Kind::fetch, true, true, false, "the fetch"},
    {Kind::state, true, false, false, "an updated state"},
    {Kind::update, true, true, false, "the update"},
    {Kind::taken, false, true, true, "the flag 'taken'"},
    {Kind::due, false, true, true, "the flag 'due'"},
    {Kind::gradient_weight, false, true, true, "the weight of the gradients"},
    {Kind::scale, false, false, true, "the loss scale"},
    {Kind::scale_tracker, false, false, true, "the tracker of the loss scale"},
    {Kind::differentiated, false, false, false, "a gradient's parameter"},
    {Kind::gradient, false, true, true, "the gradient"},
};

const KindTraits& traits_of(Kind kind) { return *std::ranges::find(kinds, kind, &KindTraits::kind); }

}  // namespace

bool StepRole::is_root() const { return traits_of(kind).root; }
bool StepRole::is_once_a_step() const { return traits_of(kind).once_a_step; }
bool StepRole::is_of_gradients() const { return traits_of(kind).of_gradients; }

std::string StepRole::str() const {
  std::string text = traits_of(kind).words;
  if (kind == Kind::fetch) text += fmt::format(" '{}'", name);
  if (of != nullptr && of->valid()) text += fmt::format(" of '{}'", of->name());
  return text;
}

void Step::each_value(const std::function<void(Value&, const StepRole&)>& visit) { visit_values(*this, visit); }
void Step::each_value(const std::function<void(const Value&, const StepRole&)>& visit) const {
  visit_values(*this, visit);
}

std::vector<Value> Step::values(const std::function<bool(const StepRole&)>& chosen) const {
  std::vector<Value> values;
  each_value([&](const Value& value, const StepRole& role) {
    if (!value.absent() && chosen(role)) values.push_back(value);
  });
  return values;
}

std::vector<Value> Step::roots() const { return values(&StepRole::is_root); }

void Step::take_updates() {
  for (Update& update : graph.take_updates()) updates.push_back(std::move(update));
}

Step Step::over(const Graph& other) const {
  Step result = *this;
  result.graph = other;
  result.each_value([&](Value& value, const StepRole&) {
    if (value.absent()) return;
    // Values that were dropped on purpose (a gradient nobody reads any more) are not an error until asked for.
    value = other.contains(value) ? other.find(value) : Value(other.data(), {});
  });
  std::erase_if(result.parameters, [](const Value& value) { return !value.valid(); });
  std::erase_if(result.gradients, [](const Gradient& g) { return !g.parameter.valid() || !g.value.valid(); });
  return result;
}

Step operator|(const Step& step, const Transform& transform) {
  std::optional<UserLine> line;
  if (transform.called) line.emplace(*transform.called);
  step.graph.check();
  check_order(step, transform);
  Step copy = step.over(step.graph.clone());
  copy.take_updates();
  copy.lowered = false;
  const std::string who = fmt::format("transform '{}' ({})", transform.name, str(transform.where));
  WEFT_CHECK(!transform.name.empty(), "a transform ({}) has no name; hint: .name = \"my_transform\"",
             str(transform.where));
  WEFT_CHECK(transform.apply, "{} has nothing to apply; hint: .apply = [](Step step) {{ ...; return step; }}", who);
  Step result = user_rule(who, [&] { return transform.apply(std::move(copy)); });
  try {
    result.graph.check();
  } catch (const UserError& error) {
    WEFT_FAIL("{}: {}", who, error.reason);
  }
  result.take_updates();
  result.facts.insert(transform.promises.begin(), transform.promises.end());
  std::vector<Fact> added;  // facts that this one brought
  std::ranges::set_difference(result.facts, step.facts, std::back_inserter(added));
  result.applied.push_back({transform.name, transform.claim, transform.rounds_to, transform.change, transform.law,
                            transform.needs, transform.forbids, added});
  try {
    verify(result);
  } catch (const InternalError& error) {
    WEFT_FAIL(
        "{} leaves a step that is not consistent: {}; hint: values of the step that came in are step.find(value), and "
        "what is "
        "replaced is replaced in updates, gradients and fetches alike",
        who, error.reason);
  }
  return result;
}

}  // namespace weft
