#include <weft/graph/at_batch.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/step/micro.h>
#include <weft/optim/accumulate_over_runs.h>
#include <weft/optim/facts.h>
#include <weft/optim/loss_groups.h>

namespace weft {
namespace {

// State cells that begin anew with the first run of an accumulation.
class Sums {
 public:
  Sums(Step& step, Value first) : step_(step), first_(std::move(first)) {}

  Value add(const std::string& name, const Value& value, DType dtype) {
    const Value total = step_.graph.state(name, {dtype, value.shape()}, init::zeros());
    const Value sum = accumulate_onto(total, value, first_);
    step_.updates.push_back({total, sum});
    return sum;
  }

 private:
  Step& step_;
  Value first_;
};

// The gradients of the groups must be sums over examples: only then do those of two batches add up to those of both.
void expect_sums(const GroupGradients& parts, const MicroPhases& phases, const std::string& who) {
  for (std::size_t g = 0; g < parts.groups.size(); ++g)
    for (std::size_t i = 0; i < parts.gradients[g].size(); ++i) {
      const Value& gradient = parts.gradients[g][i];
      if (!gradient.valid() || parts.groups[g].batch_free) continue;
      const bool sum =
          phases.of(gradient.ref()) == Phase::micro && phases.state(gradient.ref()).kind == BatchState::Kind::summed;
      if (sum) continue;
      // A number that only equals the batch hides where the examples are: then that is what is wrong.
      at_batch(parts.step.graph, 2 * batch_of(parts.step.graph, who));
      const std::string path = parts.step.parameters[i].node().name;
      WEFT_CHECK(!phases.mixes(gradient.ref()), "{}: {}; the gradient of {} depends on it; {}", who,
                 phases.reason(gradient.ref()), path, keep_apart);
      WEFT_FAIL("{}: the gradient of {} is no sum over the examples: {} is {}", who, path, place_of(gradient.node()),
                phases.state(gradient.ref()).str());
    }
}

Step over_runs(const Step& step, std::int64_t k, const std::string& who) {
  batch_of(step.graph, who);  // what is free of the batch can only be told where it has a name
  GroupGradients parts = without_weights(
      step, loss_groups(step, MicroPhases(step.graph), who, {.sum_free_weights = true}), "accumulate_over_runs");
  Step result = std::move(parts.step);
  parts.step = result;
  expect_sums(parts, MicroPhases(result.graph), who);

  const auto phase = result.graph.phase(Phase::step);
  const auto pass = result.graph.made_by("accumulate_over_runs", no_node);
  // States are named by the whole store.
  const Value runs = result.graph.state("accumulate/runs", {i64, {}}, init::zeros());
  Value first, next;
  {
    const auto scope = result.graph.scope("accumulate_over_runs");
    first = equal(runs, 0.0);
    result.due = equal(runs, static_cast<double>(k - 1));
    next = where(result.due, 0.0, add(runs, 1.0));
  }
  result.updates.push_back({runs, next});
  Sums sums(result, first);
  std::vector<Value> weights;
  for (std::size_t g = 0; g < parts.groups.size(); ++g) {
    // Groups are numbered where there are several: their sums have names of their own.
    const std::string group = parts.groups.size() == 1 ? "" : fmt::format("/{}", g);
    const Value& weight = parts.groups[g].weight;
    weights.push_back(weight.absent() ? weight : sums.add("accumulate/weight" + group, cast(weight, f64), f64));
    for (std::size_t i = 0; i < result.parameters.size() && !parts.groups[g].batch_free; ++i) {
      Value& gradient = parts.gradients[g][i];
      if (!gradient.valid()) continue;
      const auto origin = result.graph.made_by("accumulate_over_runs", gradient.ref().node);
      gradient = cast(sums.add("accumulate/sum" + group + "/" + result.parameters[i].node().name, gradient,
                               accumulator_dtype(gradient.dtype())),
                      gradient.dtype());
    }
  }
  const auto scope = result.graph.scope("accumulate_over_runs");
  combine_groups(result, parts.groups, parts.gradients, weights);
  return result;
}

}  // namespace

Transform accumulate_over_runs(std::int64_t k, std::source_location where) {
  const UserLine line(where);
  WEFT_CHECK(k >= 1, "accumulate_over_runs needs at least one run, got {}", k);
  const std::string name = fmt::format("accumulate_over_runs({})", k);
  return {.name = name,
          .claim = Claim::changes_meaning,
          .needs = {fact::gradients},
          .forbids = {fact::unscaled, fact::accumulated, fact::checkpointed},
          .promises = {fact::accumulated},
          .apply = [k, name](const Step& step) { return over_runs(step, k, name); },
          .change = fmt::format("one update for {} runs, by the gradients of all their batches", k)};
}

}  // namespace weft
