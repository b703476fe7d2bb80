#include <equivalence/pool.h>

#include <algorithm>

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
  return {std::move(name), [make = std::move(make)](const Step& step) { return step | make(); }};
}

}  // namespace

const std::vector<PoolEntry>& pool() {
  static const std::vector<PoolEntry> entries{
      entry("adamw", [] { return optimize(adamw({.rate = warmup_cosine(1e-2, 1, 9), .weight_decay = 0.1})); }),
      entry("negate_twice", negate_twice),
      entry("sgd", [] { return optimize(sgd({.rate = 0.05, .momentum = 0.9, .nesterov = true})); }),
      entry("average_weights", [] { return average_weights({.decay = 0.9, .warmup = true}); }),
      {"freeze", [](const Step& step) { return step | freeze({step.parameters.front().node().name}); }},
  };
  return entries;
}

std::string str(const Chain& chain) {
  std::string text = "training_step";
  for (const std::size_t i : chain) text += " | " + pool()[i].name;
  return text;
}

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
      Chain chain = prefix.chain;
      chain.push_back(i);
      try {
        Step step = pool()[i].apply(prefix.step);
        result.legal.push_back(chain);
        if (chain.size() < length) open.push_back({chain, std::move(step)});
      } catch (const UserError& error) {
        // Both transforms, the right order or what is missing, and a cure.
        const std::string message = error.what();
        const bool right_order = message.find("the right order: ") != std::string::npos;
        const bool hint = message.find("hint: ") != std::string::npos;
        if (right_order || hint)
          ++result.refused;
        else
          result.bad_refusals.push_back(str(chain) + ": " + message);
      } catch (const std::exception& error) {
        result.bad_refusals.push_back(str(chain) + ": " + error.what());
      }
    }
  }
  std::ranges::sort(result.legal);
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
    if (proof.reduced == chain) proof.reduced.clear();
    for (const std::size_t i : proof.reduced) before = pool()[i].apply(before);
    proof.result = verify_equivalent(before, after, model.options);
  } catch (const std::exception& error) {
    proof.error = error.what();
  }
  return proof;
}

}  // namespace weft::test
