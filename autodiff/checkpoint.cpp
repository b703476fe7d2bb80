#include <weft/autodiff/checkpoint.h>
#include <weft/autodiff/facts.h>
#include <weft/autodiff/remat/choice.h>
#include <weft/autodiff/remat/search.h>

#include <algorithm>
#include <optional>

namespace weft {
namespace {

using remat::RematGraph;
using remat::Saved;

Step with(const RematGraph& graph, const std::vector<int>& cuts, const Saved& saved) {
  return remat::with_clones(graph, remat::segments(graph, cuts, saved), saved);
}

Step by_hand(const Step& step, const CheckpointOptions& options) {
  const RematGraph graph(step);
  const Saved saved = remat::choose(graph, step, options);
  return with(graph, remat::find_blocks(graph).cuts, saved);
}

Step by_block(const Step& step, int every) {
  const RematGraph graph(step);
  const remat::Blocks blocks = remat::find_blocks(graph);
  WEFT_CHECK(blocks.longest() > 0,
             "every_block finds no tensor with work before and after it through which all of the forward pass flows; "
             "hint: checkpoint({{.save = {{...}}}}) says by hand what to keep");
  const std::vector<int> boundaries = blocks.every(every);
  WEFT_CHECK(!boundaries.empty(),
             "every_block({{.every = {}}}): the longest chain has {} block boundaries, so none would be kept", every,
             blocks.longest());
  Saved saved(graph.stored.size(), false);
  for (int s : boundaries) saved[static_cast<std::size_t>(s)] = true;
  for (int s : remat::tail(graph, boundaries)) saved[static_cast<std::size_t>(s)] = true;
  return with(graph, blocks.cuts, saved);
}

Step by_budget(const Step& step, const CheckpointOptions& options) {
  const auto budget = static_cast<std::size_t>(*options.budget);
  const PlanOptions planning{.threads = options.threads};
  const std::size_t whole = plan(step, planning).total_bytes();
  if (whole <= budget) return step;
  remat::Search search(step, options.threads, options.rates);
  const remat::Score best = search.best(budget);
  // Scores are bytes of quick plans: what counts is the plan of the step that is returned, which is lowered once more.
  const auto made_of = [&](const remat::Score& score) {
    Step made = search.result(score.saved);
    made.lowered = false;
    return made;
  };
  const auto fitting = [&](const remat::Score& score) -> std::optional<Step> {
    Step made = made_of(score);
    if (plan(made, planning).total_bytes() > budget) return std::nullopt;
    return made;
  };
  if (std::optional<Step> found = fitting(best)) {
    double seconds = best.seconds;
    for (const remat::Score& score : search.front()) {  // those that looked a little too large, the smallest first
      if (score.bytes <= budget || score.seconds >= seconds) continue;
      std::optional<Step> faster = fitting(score);
      if (!faster) break;
      found = std::move(faster);
      seconds = score.seconds;
    }
    return *found;
  }
  // The points of memory_frontier, and what can be had from the two ends: the fastest that fits, else the smallest.
  std::vector<remat::Score> candidates = search.front();
  candidates.push_back(search.polish(candidates.front(), 0));
  candidates.push_back(search.polish(best, 0));
  std::ranges::stable_sort(candidates, {}, &remat::Score::seconds);
  const std::size_t least_score = std::ranges::min(candidates, {}, &remat::Score::bytes).bytes;
  std::optional<Plan> smallest;
  for (const remat::Score& candidate : candidates) {
    // Quick plans are a few percent off.
    if (candidate.bytes > std::max(budget, least_score) / 20 * 21) continue;
    const Step made = made_of(candidate);
    Plan planned = plan(made, planning);
    if (planned.total_bytes() <= budget) return made;
    if (!smallest || planned.total_bytes() < smallest->total_bytes()) smallest = std::move(planned);
  }
  const std::string kept =
      fmt::format("{} of parameters and states, {} of activations and gradients",
                  readable_bytes(smallest->persistent_bytes), readable_bytes(smallest->arena_bytes));
  WEFT_FAIL(
      "the budget of {} ({} B) is too small: the least possible is {} ({} B: {}), {} more; as it is, the step takes "
      "{}; "
      "hint: accumulate(k) before checkpoint shrinks activations, memory_frontier(step) shows what can be had",
      readable_bytes(budget), budget, readable_bytes(smallest->total_bytes()), smallest->total_bytes(), kept,
      readable_bytes(smallest->total_bytes() - budget), readable_bytes(whole));
}

// Gradients that nobody has used yet are what the step is for, and a later transform reads what comes with them
// (whether the step is taken, what is to be divided out): lowering must drop none of these.
std::vector<Value*> wanted(Step& step) {
  std::vector<Value*> values;
  step.each_value([&](Value& value, const StepRole& role) {
    // States and constants stay by themselves.
    if (role.is_of_gradients() && value.valid() && !value.node().op->traits.source) values.push_back(&value);
  });
  return values;
}

Step keeping_gradients(const Step& step, const std::function<Step(const Step&)>& change) {
  if (step.facts.contains(fact::optimized)) {
    Step result = change(step);
    result.lowered = false;
    return result;
  }
  Step kept = step;
  const std::size_t fetches = step.fetches.size();
  for (const Value* value : wanted(kept))
    kept.fetches.push_back({fmt::format("{} for checkpoint", kept.fetches.size() - fetches), *value});
  const std::size_t count = kept.fetches.size() - fetches;
  Step result = change(kept);
  const std::vector<Value*> moved = wanted(result);
  WEFT_INVARIANT(moved.size() == count, "checkpoint lost {} values that the step needs", count - moved.size());
  for (std::size_t i = 0; i < count; ++i) *moved[i] = result.fetches[fetches + i].value;
  result.fetches.resize(fetches);
  result.lowered = false;
  return result;
}

Transform checkpointing(std::function<Step(const Step&)> change) {
  return {.name = "checkpoint",
          .claim = Claim::same_bits,
          .needs = {fact::gradients},
          .forbids = {fact::checkpointed},
          .promises = {fact::checkpointed},
          .apply = [change = std::move(change)](const Step& step) {
            try {
              return keeping_gradients(step, change);
            } catch (const UserError& error) {
              WEFT_FAIL("checkpoint: {}", error.reason);
            }
          }};
}

}  // namespace

Transform checkpoint(CheckpointOptions options, std::source_location where) {
  const UserLine line(where);
  const bool picks = !options.save.empty() || !options.recompute.empty() || options.policy.has_value();
  WEFT_CHECK(picks || options.budget.has_value(),
             "checkpoint has nothing to do; hint: {{.budget = 512_MiB}}, {{.save = {{\"decoder/*/add\"}}}}, "
             "dots_saveable() or every_block()");
  if (!options.budget.has_value())
    return checkpointing([options = std::move(options)](const Step& step) { return by_hand(step, options); });
  WEFT_CHECK(!picks, "checkpoint: a budget decides what is kept, so it goes with neither save, recompute nor policy");
  WEFT_CHECK(*options.budget > 0, "checkpoint: the budget must be a positive number of bytes, got {}", *options.budget);
  return checkpointing([options = std::move(options)](const Step& step) { return by_budget(step, options); });
}

Transform checkpoint(SavePolicy policy, std::source_location where) {
  const UserLine line(where);
  WEFT_CHECK(policy.saves != nullptr, "checkpoint: the policy '{}' has no rule", policy.name);
  return checkpoint(CheckpointOptions{.policy = std::move(policy)});
}

Transform checkpoint(EveryBlock blocks, std::source_location where) {
  const UserLine line(where);
  WEFT_CHECK(blocks.every > 0, "checkpoint: every_block needs every >= 1, got {}", blocks.every);
  return checkpointing([every = blocks.every](const Step& step) { return by_block(step, every); });
}

Transform fit(std::int64_t bytes, std::source_location where) {
  return checkpoint(CheckpointOptions{.budget = bytes}, where);
}

}  // namespace weft
