#include <weft/ops/arithmetic.h>
#include <weft/ops/creation.h>
#include <weft/optim/optimize.h>
#include <weft/optim/settle.h>
#include <weft/runtime/store.h>

#include <algorithm>

namespace weft {
namespace {

bool belongs(const ParameterGroup& group, const Value& parameter) {
  return parameter.rank() >= group.least_rank && matches(group.pattern, parameter.node().name);
}

void expect_groups_match(const Step& step, const Optimizer& optimizer) {
  for (const ParameterGroup& group : optimizer.groups) {
    const bool used = std::ranges::any_of(step.parameters, [&](const Value& p) { return belongs(group, p); });
    std::string first;
    for (std::size_t i = 0; i < std::min<std::size_t>(3, step.parameters.size()); ++i)
      first += (i == 0 ? "" : ", ") + step.parameters[i].node().name;
    WEFT_CHECK(used, "{}: the group '{}' matches no parameter; hint: the first of {} are {}", optimizer.name,
               group.pattern, step.parameters.size(), first);
  }
}

// count := count + (condition ? 1 : 0)
Value counter(Step& step, const Value& before, const Value& condition) {
  const Value after = add(before, cast(condition, i64));
  step.updates.push_back({before, after});
  return after;
}

}  // namespace

Value UpdateContext::state(const std::string& name) const {
  Graph graph = step.graph;
  return graph.state("optimizer/" + name + "/" + parameter.node().name, parameter.type(), init::zeros(),
                     parameter.node().where);
}

Transform optimize(Optimizer optimizer, std::source_location where) {
  const std::string name = "optimize(" + optimizer.name + ")";
  return {.name = name,
          .claim = Claim::changes_meaning,
          .needs = {"gradients"},
          .forbids = {"optimized"},
          .promises = {"settled", "optimized"},
          .apply = [optimizer = std::move(optimizer), where](Step step) {
            expect_groups_match(step, optimizer);
            const auto line = step.graph.scope("", where);
            settle_gradients(step);
            const auto phase = step.graph.phase(Phase::step);
            // States are named by the whole store, not by this transform.
            const Value updates = step.graph.state("updates", {i64, {}}, init::zeros());
            const Value skipped = step.graph.state("skipped", {i64, {}}, init::zeros());
            const auto pass = step.graph.made_by("optimize", no_node);
            Value rate;
            {
              const auto scope = step.graph.scope("schedule");
              rate = optimizer.rate(updates);
              WEFT_CHECK(rate.valid() && (rate.type() == TensorType{f64, {}}), "a schedule must give a f64 scalar, {} gives {}",
                         optimizer.rate.name(), rate.valid() ? rate.type().str() : "nothing");
            }
            step.set_fetch("rate", rate);
            for (const Gradient& gradient : step.gradients) {
              const auto group = std::ranges::find_if(
                  optimizer.groups, [&](const ParameterGroup& g) { return belongs(g, gradient.parameter); });
              ParameterGroup chosen = group == optimizer.groups.end() ? ParameterGroup{} : *group;
              if (chosen.frozen) continue;
              const Value own_rate = chosen.rate_factor == 1 ? rate : multiply(rate, chosen.rate_factor);
              optimizer.update({step, gradient.parameter, gradient.value, own_rate, updates, step.finite, chosen});
            }
            const auto scope = step.graph.scope("counters");
            counter(step, updates, step.finite);
            Value lost = logical_not(step.finite);  // of an accumulation over runs: judged when it is due
            if (step.due.valid()) lost = logical_and(step.due, lost);
            step.set_fetch("skipped", counter(step, skipped, lost));
            return step;
          }};
}

}  // namespace weft
