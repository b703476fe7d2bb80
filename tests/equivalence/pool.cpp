#include <equivalence/pool.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <random>
#include <set>

namespace weft::test {
namespace {

// A user's own transform: each gradient is negated twice.
Transform negate_twice() {
  auto apply = [](Step step) {
    for (Gradient& gradient : step.gradients) {
      const auto phase = step.graph.phase(gradient.value.node().phase);
      const auto origin = step.graph.made_by("negate_twice", gradient.value.ref().node);
      gradient.value = negate(negate(gradient.value));
    }
    return step;
  };
  return {.name = "negate_twice",
          .claim = Claim::same_bits,
          .needs = {"gradients"},
          .forbids = {"optimized"},
          .apply = apply};
}

PoolEntry entry(std::string name, std::function<Transform()> make) {
  return {.name = std::move(name), .apply = [make = std::move(make)](const Step& step) { return step | make(); }};
}

// Less than it takes as it is, where that can be.
Step within_less_memory(const Step& step) {
  Step kept = step;  // what checkpoint counts: gradients are wanted whether or not somebody reads them yet
  for (const Gradient& gradient : step.gradients)
    kept.set_fetch("gradient of " + gradient.parameter.name(), gradient.value);
  const Plan whole = plan(kept);
  const auto bytes = static_cast<std::int64_t>(whole.total_bytes());
  try {
    return step | checkpoint({.budget = bytes - static_cast<std::int64_t>(whole.arena_bytes / 16)});
  } catch (const UserError& error) {
    if (std::string(error.what()).find("is too small") == std::string::npos) throw;
    return step | checkpoint({.budget = 2 * bytes});
  }
}

}  // namespace

const std::vector<PoolEntry>& pool() {
  static const std::vector<PoolEntry> entries{
      entry("mixed_precision(bf16)", [] { return mixed_precision(bf16); }),
      entry("mixed_precision(f16)", [] { return mixed_precision(f16); }),
      entry("scale_loss(static)", [] { return scale_loss(static_scale(64)); }),
      entry("scale_loss(dynamic)",
            [] { return scale_loss(dynamic_scale({.start = 64, .window = 2, .greatest = 128})); }),
      entry("accumulate(2)", [] { return accumulate(2); }),
      entry("accumulate(3)", [] { return accumulate(3); }),
      entry("accumulate_over_runs(2)", [] { return accumulate_over_runs(2); }),
      entry("clip_global_norm", [] { return clip_global_norm(0.1); }),
      entry("clip_norm", [] { return clip_norm(0.05); }),
      entry("clip_value", [] { return clip_value(0.01); }),
      entry("fetch_gradients", [] { return fetch_gradients(); }),
      entry("negate_twice", negate_twice),
      entry("optimize(adamw)",
            [] { return optimize(adamw({.rate = warmup_cosine(1e-2, 1, 9), .weight_decay = 0.1})); }),
      entry("optimize(sgd)", [] { return optimize(sgd({.rate = 0.05, .momentum = 0.9, .nesterov = true})); }),
      entry("average_weights", [] { return average_weights({.decay = 0.9, .warmup = true}); }),
      {.name = "freeze",
       .apply = [](const Step& step) { return step | freeze({step.parameters.front().node().name}); }},
      entry("checkpoint(every_block)", [] { return checkpoint(every_block()); }),
      entry("checkpoint(dots_saveable)", [] { return checkpoint(dots_saveable()); }),
      entry("checkpoint(nothing_saveable)", [] { return checkpoint(nothing_saveable()); }),
      // A search of a second where the others take a millisecond.
      {.name = "checkpoint(budget)", .apply = within_less_memory, .longest = 3},
  };
  return entries;
}

std::string str(const Chain& chain) {
  std::string text = "training_step";
  for (const std::size_t i : chain) text += " | " + pool()[i].name;
  return text;
}

namespace {

// The step with one more transform; nullopt where it is refused, which is judged: the message must say the right order,
// or what is missing and a cure.
std::optional<Step> extend(const Step& step, const Chain& chain, Enumeration& result) {
  try {
    return pool()[chain.back()].apply(step);
  } catch (const UserError& error) {
    const std::string message = error.what();
    const bool helps =
        message.find("the right order: ") != std::string::npos || message.find("hint: ") != std::string::npos;
    if (helps) ++result.refused;
    else result.bad_refusals.push_back(str(chain) + ": " + message);
  } catch (const std::exception& error) {
    result.bad_refusals.push_back(str(chain) + ": " + error.what());
  }
  return std::nullopt;
}

}  // namespace

Enumeration chains(const ProofModel& model, std::size_t length) {
  Enumeration result;
  struct Prefix {
    Chain chain;
    Step step;
  };
  std::vector<Prefix> open{{{}, training_step(model.loss)}};
  while (!open.empty()) {
    const Prefix prefix = std::move(open.back());
    open.pop_back();
    for (std::size_t i = 0; i < pool().size(); ++i) {
      if (std::ranges::find(prefix.chain, i) != prefix.chain.end()) continue;
      const std::size_t n = prefix.chain.size() + 1;
      const bool too_long = std::ranges::any_of(prefix.chain, [&](std::size_t at) { return n > pool()[at].longest; });
      if (n > pool()[i].longest || too_long) continue;
      Chain chain = prefix.chain;
      chain.push_back(i);
      std::optional<Step> step = extend(prefix.step, chain, result);
      if (!step) continue;
      result.legal.push_back(chain);
      if (chain.size() < length) open.push_back({chain, std::move(*step)});
    }
  }
  std::ranges::sort(result.legal);
  return result;
}

Enumeration drawn_chains(const ProofModel& model, std::size_t count, std::uint32_t seed) {
  Enumeration result;
  std::mt19937 random(seed);  // its numbers are fixed by the standard
  std::set<Chain> drawn;
  while (drawn.size() < count) {
    Chain chain;
    Step step = training_step(model.loss);
    // From the transforms that are left in turn, until none is accepted or the chain is long enough.
    std::vector<std::size_t> left(pool().size());
    std::iota(left.begin(), left.end(), std::size_t{0});
    for (std::size_t i = left.size(); i > 1; --i) std::swap(left[i - 1], left[random() % i]);
    const std::size_t length = 1 + random() % 4;
    for (const std::size_t i : left) {
      if (chain.size() == length) break;
      chain.push_back(i);
      if (std::optional<Step> next = extend(step, chain, result)) step = std::move(*next);
      else chain.pop_back();
    }
    drawn.insert(chain);
  }
  result.legal.assign(drawn.begin(), drawn.end());
  return result;
}

Proof prove(const ProofModel& model, const Chain& chain) {
  Proof proof{.chain = chain, .reduced = {}, .result = {}, .error = {}};
  try {
    Step after = training_step(model.loss), before = after;
    for (const std::size_t i : chain) {
      after = pool()[i].apply(after);
      if (after.applied.back().claim == Claim::changes_meaning) proof.reduced.push_back(i);
    }
    // What all of them change is known by law, or leaves loss and gradients as they are; sums over runs do neither.
    const bool over_runs =
        std::ranges::any_of(chain, [](std::size_t i) { return pool()[i].name.starts_with("accumulate_over_runs"); });
    if (proof.reduced == chain && !over_runs) proof.reduced.clear();
    for (const std::size_t i : proof.reduced) before = pool()[i].apply(before);
    proof.result = verify_equivalent(before, after, model.options);
  } catch (const std::exception& error) {
    proof.error = error.what();
  }
  return proof;
}

}  // namespace weft::test
