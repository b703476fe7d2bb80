#include <weft/optim/each_gradient.h>

#include <weft/graph/glob.h>
#include <weft/ops/index/sampling.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/optim/facts.h>
#include <weft/optim/unscale_and_check.h>
#include <weft/runtime/random.h>

#include <algorithm>

namespace weft {
namespace {

void apply(Step& step, const EachGradient& rule) {
  unscale_and_check(step);
  const auto phase = step.graph.phase(Phase::step);
  const Value updates = updates_of(step);
  const auto own = step.graph.scope(rule.name);
  bool found = false;
  for (Gradient& gradient : step.gradients) {
    const std::string path = gradient.parameter.node().name;
    if (!matches(rule.pattern, path)) continue;
    found = true;
    const auto scope = step.graph.scope(path);
    const auto origin = step.graph.made_by(rule.name, gradient.value.ref().node);
    const Value before = gradient.value;
    const Value made = rule.make({step, gradient.parameter, before, updates, rule.name});
    step.graph.check();
    WEFT_CHECK(made.valid(), "{}: its rule gives no value for '{}', expected {}", rule.name, path, before.type().str());
    WEFT_CHECK(
        made.type() == before.type(),
        "{}: its rule gives {} for '{}', expected the gradient's {}; hint: c.narrow() for f64 scalars, cast() for "
        "tensors",
        rule.name, made.type().str(), path, before.type().str());
    gradient.value = made;
  }
  WEFT_CHECK(found, "{}: the pattern '{}' matches no parameter with a gradient; hint: the first of {} is {}", rule.name,
             rule.pattern, step.gradients.size(), step.gradients.front().parameter.node().name);
}

}  // namespace

Value GradientContext::narrow(const Value& scalar) const { return cast(scalar, gradient.dtype()); }

Value GradientContext::normal(double mean, double deviation) const {
  // By name and in double: ids and dtypes differ between a step and its twins.
  const auto stream = static_cast<std::int64_t>(stream_of(transform + "/" + parameter.node().name) & 0x7fffffffU);
  Graph graph = step.graph;
  const Attributes attributes{
      {"dtype", f64}, {"shape", gradient.shape()}, {"mean", mean}, {"deviation", deviation}, {"stream", stream}};
  return cast(graph.apply(normal_op(), {}, attributes).front(), gradient.dtype());
}

Transform each_gradient(EachGradient rule, std::source_location where) {
  const UserLine line(where);
  WEFT_CHECK(!rule.name.empty(), "each_gradient needs a name, got none");
  WEFT_CHECK(rule.make != nullptr,
             "each_gradient '{}' needs a rule, got none; hint: .make = [](const "
             "GradientContext& c) {{ return c.gradient * 0.5; }}",
             rule.name);
  WEFT_CHECK(rule.claim != Claim::changes_meaning || !rule.change.empty(),
             "each_gradient '{}' changes the meaning: say what in .change, or claim Claim::rounding or "
             "Claim::same_bits",
             rule.name);
  Transform transform{.name = rule.name,
                      .claim = rule.claim,
                      .needs = {fact::gradients},
                      .forbids = {fact::optimized},
                      .promises = {fact::unscaled},
                      .apply = {},
                      .change = rule.change,
                      .law = rule.law};
  transform.needs.insert(transform.needs.end(), rule.needs.begin(), rule.needs.end());
  transform.forbids.insert(transform.forbids.end(), rule.forbids.begin(), rule.forbids.end());
  transform.promises.insert(transform.promises.end(), rule.promises.begin(), rule.promises.end());
  transform.apply = [rule = std::move(rule)](Step step) {
    apply(step, rule);
    return step;
  };
  return transform;
}

Value updates_of(Step& step) {
  const TensorType type{i64, {}};
  const Value known = step.graph.find_name("updates");
  if (!known.valid()) return step.graph.state("updates", type, init::zeros());
  const std::vector<Value> states = step.graph.states();
  const bool own = std::ranges::any_of(step.updates, [&](const Update& update) { return update.state == known; });
  WEFT_CHECK(
      std::ranges::find(states, known) != states.end() && known.type() == type && !own,
      "'updates' ({}) is a {}{}: a step counts its updates in a state of that name; hint: give yours another name",
      str(known.node().where), known.type().str(), own ? " that the graph updates" : "");
  return known;
}

}  // namespace weft
