#include <weft/graph/order.h>
#include <weft/graph/step.h>
#include <weft/graph/user_rule.h>
#include <weft/graph/verify.h>

#include <algorithm>
#include <iterator>

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

std::vector<Value> Step::roots() const {
  std::vector<Value> roots;
  for (const Fetch& fetch : fetches) roots.push_back(fetch.value);
  for (const Update& update : updates) {
    roots.push_back(update.state);
    roots.push_back(update.value);
  }
  return roots;
}

Step Step::over(const Graph& other) const {
  Step result = *this;
  result.graph = other;
  auto move = [&](Value& value) {
    if (value.absent()) return;
    // Values that were dropped on purpose (a gradient nobody reads any more) are not an error until asked for.
    value = other.contains(value) ? other.find(value) : Value(other.data(), {});
  };
  move(result.loss_value);
  move(result.finite);
  move(result.due);
  move(result.gradient_weight);
  if (result.loss_scale) {
    move(result.loss_scale->scale);
    move(result.loss_scale->tracker);
  }
  for (LossTerm& term : result.loss.terms) {
    move(term.sum);
    move(term.weight);
  }
  for (Value& seed : result.seeds) move(seed);
  for (Value& parameter : result.parameters) move(parameter);
  for (Gradient& gradient : result.gradients) {
    move(gradient.parameter);
    move(gradient.value);
  }
  for (Update& update : result.updates) {
    move(update.state);
    move(update.value);
  }
  for (Fetch& fetch : result.fetches) move(fetch.value);
  std::erase_if(result.parameters, [](const Value& value) { return !value.valid(); });
  std::erase_if(result.gradients, [](const Gradient& g) { return !g.parameter.valid() || !g.value.valid(); });
  return result;
}

namespace {

// By name: ids may be others after a transform.
std::set<std::string> updated_states(const Graph& graph) {
  std::set<std::string> names;
  for (const auto& [state, value] : graph.updates()) names.insert(graph.node(state.node).name);
  return names;
}

}  // namespace

Step operator|(const Step& step, const Transform& transform) {
  step.graph.check();
  check_order(step, transform);
  Step copy = step.over(step.graph.clone());
  copy.lowered = false;
  const std::string who = fmt::format("transform '{}' ({})", transform.name, str(transform.where));
  WEFT_CHECK(!transform.name.empty(), "a transform ({}) has no name; hint: .name = \"my_transform\"",
             str(transform.where));
  WEFT_CHECK(transform.apply, "{} has nothing to apply; hint: .apply = [](Step step) {{ ...; return step; }}", who);
  const std::set<std::string> updated = updated_states(step.graph);
  Step result = user_rule(who, [&] { return transform.apply(std::move(copy)); });
  try {
    result.graph.check();
  } catch (const UserError& error) {
    WEFT_FAIL("{}: {}", who, error.what());
  }
  for (const auto& [state, value] : result.graph.updates())
    if (!updated.contains(result.graph.node(state.node).name))
      result.updates.push_back({result.graph.value(state), result.graph.value(value)});
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
