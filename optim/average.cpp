#include <weft/graph/glob.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/creation.h>
#include <weft/optim/average.h>
#include <weft/optim/facts.h>

#include <algorithm>

namespace weft {
namespace {

const std::string prefix = "average/";
const std::string counter = "average/updates";

Step add_averages(Step step, const AverageOptions& options) {
  const auto phase = step.graph.phase(Phase::step);
  std::vector<Update> weights;
  for (const Update& update : step.updates)
    if (std::ranges::find(step.parameters, update.state) != step.parameters.end() &&
        matches(options.pattern, update.state.node().name))
      weights.push_back(update);
  WEFT_CHECK(!weights.empty(),
             "average_weights: the pattern '{}' matches no updated parameter; hint: the first of {} is {}",
             options.pattern, step.parameters.size(), step.parameters.front().node().name);
  const Value taken = step.graph.state(counter, {i64, {}}, init::zeros());
  std::vector<Value> averages;
  for (const Update& weight : weights) {
    const Node& node = weight.state.node();
    averages.push_back(step.graph.state(prefix + node.name, node.types.front(), init::zeros(), node.where));
  }
  const auto pass = step.graph.made_by("average_weights", no_node);
  const auto scope = step.graph.scope("average_weights");
  const Value first = equal(taken, 0);
  const Value n = cast(taken, f64);
  const Value keep =
      options.warmup ? minimum((n + 1.0) / (n + 10.0), options.decay) : full(step.graph, {}, f64, options.decay);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const auto origin = step.graph.made_by("average_weights", weights[i].state.ref().node);
    const Value p = weights[i].value, average = averages[i];
    const Value moved = average + (p - average) * cast(1.0 - keep, p.dtype());
    step.updates.push_back({average, weft::where(step.taken, weft::where(first, p, moved), average)});
  }
  Value counts = step.taken;
  if (options.start > 0) counts = logical_and(counts, greater_equal(step.graph.find_name("updates"), options.start));
  step.updates.push_back({taken, taken + cast(counts, i64)});
  return step;
}

}  // namespace

Transform average_weights(const AverageOptions& options, std::source_location where) {
  const UserLine line(where);
  WEFT_CHECK(options.decay >= 0 && options.decay < 1, "average_weights needs a decay in [0, 1), got {}", options.decay);
  WEFT_CHECK(options.start >= 0, "average_weights needs a start of at least 0, got {}", options.start);
  return {.name = "average_weights",
          .claim = Claim::same_bits,
          .needs = {fact::optimized},
          .forbids = {fact::averaged},
          .promises = {fact::averaged},
          .apply = [options](Step step) { return add_averages(std::move(step), options); }};
}

Store with_average(Store& store) {
  WEFT_CHECK(store.has(counter),
             "the store holds no averages of weights; hint: step | average_weights(), then Store(step) or "
             "Program(step, store) adds them");
  if (store.tensor(counter).item() == 0)
    for (const std::string& path : store.match(prefix + "**"))
      if (path != counter) store.set(path, store.tensor(path.substr(prefix.size())));
  return store.overlaid(prefix);
}

}  // namespace weft
