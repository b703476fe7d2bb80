#include <weft/graph/glob.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/optim/each_gradient.h>
#include <weft/optim/facts.h>
#include <weft/optim/freeze.h>
#include <weft/optim/optimize.h>
#include <weft/optim/unscale_and_check.h>

#include <algorithm>
#include <map>

namespace weft {
namespace {

using OptimizerGroups = std::vector<OptimizerGroup>;

// Who updates a parameter, and under which options.
struct Assignment {
  std::size_t optimizer = 0;
  std::optional<std::size_t> group;  // of the optimizer's
};

std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t most = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return names.size() > most ? fmt::format("{} and {} more", text, names.size() - most) : text;
}

// A pattern that gets nothing is a slip: of the pen, or of the order.
void expect_used(const std::string& what, bool matched, bool used, const std::vector<std::string>& candidates) {
  WEFT_CHECK(matched, "{} matches no parameter; hint: the first of {} are {}", what, candidates.size(),
             listed(candidates));
  WEFT_CHECK(used,
             "{} gets no parameter: earlier patterns match all of its own; hint: the first match wins, so put the "
             "narrower pattern first",
             what);
}

// By parameter, in the order of step.parameters.
std::vector<Assignment> assign(const Step& step, const OptimizerGroups& optimizers) {
  std::vector<std::string> paths, unclaimed;
  std::vector<Assignment> assignments;
  for (const Value& parameter : step.parameters) paths.push_back(parameter.node().name);
  for (const std::string& path : paths) {
    const auto at = std::ranges::find_if(optimizers, [&](const OptimizerGroup& o) { return matches(o.pattern, path); });
    if (at == optimizers.end()) unclaimed.push_back(path);
    assignments.push_back({static_cast<std::size_t>(at - optimizers.begin()), std::nullopt});
  }
  WEFT_CHECK(unclaimed.empty(),
             "no optimizer claims {} of {} parameters: {}; hint: a last {{\"**\", ...}} claims the rest, "
             "freeze({{\"{}\"}}) leaves them as they are on purpose",
             unclaimed.size(), paths.size(), listed(unclaimed), unclaimed.front());
  for (std::size_t o = 0; o < optimizers.size(); ++o) {
    const Optimizer& optimizer = optimizers[o].optimizer;
    std::vector<std::string> own;
    std::vector<bool> matched(optimizer.groups.size()), used(optimizer.groups.size());
    for (std::size_t i = 0; i < paths.size(); ++i) {
      if (assignments[i].optimizer != o) continue;
      own.push_back(paths[i]);
      for (std::size_t g = 0; g < optimizer.groups.size(); ++g) {
        const ParameterGroup& group = optimizer.groups[g];
        if (step.parameters[i].rank() < group.least_rank || !matches(group.pattern, paths[i])) continue;
        matched[g] = true;
        if (assignments[i].group) continue;
        assignments[i].group = g;
        used[g] = true;
      }
    }
    const bool any =
        std::ranges::any_of(paths, [&](const std::string& p) { return matches(optimizers[o].pattern, p); });
    expect_used(fmt::format("optimize: the pattern '{}' of {}", optimizers[o].pattern, optimizer.name), any,
                !own.empty(), paths);
    for (std::size_t g = 0; g < optimizer.groups.size(); ++g)
      expect_used(fmt::format("{}: the group '{}'", optimizer.name, optimizer.groups[g].pattern), matched[g], used[g],
                  own);
  }
  return assignments;
}

// Published rates, made when they are first asked for.
class Rates {
 public:
  Rates(Step& step, Value updates) : step_(step), updates_(std::move(updates)) {}

  Value of(const Schedule& schedule, const std::string& fetch, const std::string& scope_name) {
    const auto scope = step_.graph.scope(scope_name);
    const Value rate = schedule(updates_);
    step_.graph.check();
    WEFT_CHECK(rate.valid() && (rate.type() == TensorType{f64, {}}), "a schedule must give a f64 scalar, {} gives {}",
               schedule.name(), rate.valid() ? rate.type().str() : "nothing");
    step_.set_fetch(fetch, rate);
    return rate;
  }

 private:
  Step& step_;
  Value updates_;
};

std::vector<Value> own_rates(Rates& rates, Step& step, const OptimizerGroups& optimizers) {
  std::vector<Value> made;
  std::map<std::string, int> count;
  for (const OptimizerGroup& each : optimizers) {
    const Optimizer& optimizer = each.optimizer;
    const int seen = count[optimizer.name]++;
    const std::string name = seen == 0 ? optimizer.name : fmt::format("{}_{}", optimizer.name, seen);
    const bool alone = optimizers.size() == 1;
    made.push_back(
        rates.of(optimizer.rate, alone ? "rate" : "rate/" + name, made.empty() ? "schedule" : "schedule/" + name));
    if (made.size() == 1 && !alone) step.set_fetch("rate", made.front());
  }
  return made;
}

// count := count + (condition ? 1 : 0)
Value counter(Step& step, const Value& before, const Value& condition) {
  const Value after = add(before, cast(condition, i64));
  step.updates.push_back({before, after});
  return after;
}

Step add_updates(Step step, const OptimizerGroups& optimizers) {
  std::vector<Assignment> assignments = assign(step, optimizers);
  std::vector<Value> frozen, trained;
  std::vector<Assignment> kept;
  for (std::size_t i = 0; i < assignments.size(); ++i) {
    const auto [o, g] = assignments[i];
    if (g && optimizers[o].optimizer.groups[*g].frozen) {
      frozen.push_back(step.parameters[i]);
      continue;
    }
    trained.push_back(step.parameters[i]);
    kept.push_back(assignments[i]);
  }
  step = without_gradients(step, frozen, "optimize");
  unscale_and_check(step);
  const auto phase = step.graph.phase(Phase::step);
  // States are named by the whole store, not by this transform.
  const Value updates = updates_of(step);
  const Value skipped = step.graph.state("skipped", {i64, {}}, init::zeros());
  const auto pass = step.graph.made_by("optimize", no_node);
  Rates rates(step, updates);
  const std::vector<Value> own = own_rates(rates, step, optimizers);
  std::map<std::pair<std::size_t, std::size_t>, Value> of_groups;
  for (const Gradient& gradient : std::vector<Gradient>(step.gradients)) {  // a rule may not see it change
    const auto at = std::ranges::find_if(trained, [&](const Value& p) { return p.ref() == gradient.parameter.ref(); });
    WEFT_INVARIANT(at != trained.end(), "'{}' has a gradient and is not trained", gradient.parameter.name());
    const auto [o, g] = kept[static_cast<std::size_t>(at - trained.begin())];
    const Optimizer& optimizer = optimizers[o].optimizer;
    const ParameterGroup group = g ? optimizer.groups[*g] : ParameterGroup{};
    Value rate = own[o];
    if (group.rate) {
      Value& made = of_groups[{o, *g}];
      if (made.absent())
        made = rates.of(*group.rate, "rate/" + group.pattern, fmt::format("schedule/{}/{}", optimizer.name, *g));
      rate = made;
    }
    if (group.rate_factor != 1) rate = multiply(rate, group.rate_factor);
    const Node& node = gradient.parameter.node();
    const std::string_view dtype = name_of(gradient.parameter.dtype());
    WEFT_CHECK(
        optimizer.takes_narrow || size_of(gradient.parameter.dtype()) >= size_of(f32),
        "{}: the parameter '{}' ({}) is {}, in which small updates round to nothing; hint: keep it f32 and compute "
        "in {} by mixed_precision({})",
        optimizer.name, node.name, str(node.where), gradient.parameter.type().str(), dtype, dtype);
    const auto origin = step.graph.made_by("optimize", node.id);
    optimizer.update({step, gradient.parameter, gradient.value, rate, updates, step.taken, group, optimizer.name});
  }
  const auto scope = step.graph.scope("counters");
  counter(step, updates, step.taken);
  Value lost = logical_not(step.taken);
  if (step.due.valid()) lost = logical_and(step.due, lost);  // of an accumulation over runs: judged when it is due
  step.set_fetch("skipped", counter(step, skipped, lost));
  return step;
}

}  // namespace

Transform optimize(Optimizer optimizer, std::source_location where) {
  return optimize(OptimizerGroups{{"**", std::move(optimizer)}}, where);
}

Transform optimize(std::vector<OptimizerGroup> optimizers, std::source_location where) {
  const UserLine line(where);
  WEFT_CHECK(!optimizers.empty(), "optimize needs an optimizer, got none; hint: optimize(adamw())");
  std::string names;
  for (const OptimizerGroup& each : optimizers) names += (names.empty() ? "" : ", ") + each.optimizer.name;
  return {.name = "optimize(" + names + ")",
          .claim = Claim::changes_meaning,
          .needs = {fact::gradients},
          .forbids = {fact::optimized},
          .promises = {fact::unscaled, fact::optimized},
          .apply = [optimizers = std::move(optimizers)](Step step) { return add_updates(std::move(step), optimizers); },
          .change = "adds the update of the parameters"};
}

}  // namespace weft
