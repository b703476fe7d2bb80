#include <weft/autodiff/attention_cost.h>
#include <weft/autodiff/attention_policy.h>
#include <weft/runtime/memory/plan.h>

#include <algorithm>
#include <array>
#include <ostream>

namespace weft {
namespace {

using Candidate = AttentionAdvice::Candidate;
using Strategy = AttentionStrategy;
constexpr std::array strategies{Strategy::plain, Strategy::block_wise, Strategy::checkpointed, Strategy::local};

void check(const AttentionCase& c, const AttentionPolicy& policy) {
  for (const auto& [name, extent] : {std::pair{"batch", c.batch},
                                     {"heads", c.heads},
                                     {"kv_heads", c.kv_heads},
                                     {"width", c.width},
                                     {"value_width", c.value_width},
                                     {"time", c.time},
                                     {"keys", c.keys},
                                     {"layers", c.layers},
                                     {"window", policy.window.value_or(1)}})
    WEFT_CHECK(extent > 0, "attention_advice: {} must be positive, got {}", name, extent);
  WEFT_CHECK(c.heads % c.kv_heads == 0, "attention_advice: kv_heads must divide heads, got {} and {}", c.kv_heads,
             c.heads);
  WEFT_CHECK(is_float(c.dtype), "attention_advice: dtype must be a floating type, got {}", name_of(c.dtype));
}

std::vector<Candidate> candidates_of(const AttentionCase& c, std::int64_t window, int threads) {
  const AttentionBytes plain = attention_bytes(c, true, 0, threads), blocks = attention_bytes(c, false, 0, threads),
                       local = attention_bytes(c, false, window, threads);
  std::vector<Candidate> candidates;
  for (const Strategy strategy : strategies) {
    const AttentionBytes& one = strategy == Strategy::plain ? plain : strategy == Strategy::local ? local : blocks;
    const std::size_t kept = strategy == Strategy::checkpointed ? 0 : one.kept;
    const std::int64_t own = strategy == Strategy::local ? window : 0;
    candidates.push_back({.strategy = strategy,
                          .window = own,
                          .bytes = one.arena + static_cast<std::size_t>(c.layers - 1) * kept,
                          .kept_bytes = kept,
                          .flops = attention_flops(c, strategy, own),
                          .refused = {}});
  }
  return candidates;
}

// The largest multiple of 64, at least 64, whose local attention fits the FLOP budget.
std::int64_t window_of(const AttentionCase& c, const AttentionPolicy& policy) {
  if (policy.window || !policy.flops) return policy.window.value_or(local_window);
  std::int64_t least = 1, most = std::max<std::int64_t>(1, c.keys / 64);
  while (least < most) {
    const std::int64_t middle = (least + most + 1) / 2;
    if (attention_flops(c, Strategy::local, middle * 64) <= *policy.flops) least = middle;
    else most = middle - 1;
  }
  return least * 64;
}

// --- what is chosen --------------------------------------------------------------------------------------------------

std::string amount(double flops) {
  return flops < 1e9    ? fmt::format("{:.3g} MFLOP", flops * 1e-6)
         : flops < 1e12 ? fmt::format("{:.3g} GFLOP", flops * 1e-9)
                        : fmt::format("{:.3g} TFLOP", flops * 1e-12);
}

// Out of the question whatever the budgets.
std::string unsuited(const AttentionCase& c, const AttentionPolicy& policy, const Candidate& candidate) {
  switch (candidate.strategy) {
    case Strategy::plain:
      if (c.keys > policy.plain_up_to)
        return fmt::format("more than {} keys: a buffer of all scores", policy.plain_up_to);
      break;
    case Strategy::checkpointed:
      if (!c.training) return "there is no backward pass";
      break;
    case Strategy::local:
      if (!policy.approximate) return "leaves keys out, which is not allowed";
      if (candidate.window >= c.keys)
        return fmt::format("a window of {} leaves out none of {} keys", candidate.window, c.keys);
      break;
    case Strategy::block_wise:
      break;
  }
  return "";
}

std::string over_budget(const AttentionPolicy& policy, const Candidate& candidate) {
  if (policy.bytes && std::cmp_greater(candidate.bytes, *policy.bytes))
    return readable_bytes(candidate.bytes - static_cast<std::size_t>(std::max<std::int64_t>(0, *policy.bytes))) +
           " over the budget";
  if (policy.flops && candidate.flops > *policy.flops)
    return amount(candidate.flops - *policy.flops) + " over the budget";
  return "";
}

double share_of_budget(const AttentionPolicy& policy, const Candidate& candidate) {
  double share = 0;
  if (policy.bytes)
    share = static_cast<double>(candidate.bytes) / static_cast<double>(std::max<std::int64_t>(1, *policy.bytes));
  if (policy.flops) share = std::max(share, candidate.flops / *policy.flops);
  return share;
}

// By length alone.
Strategy by_thumb(const AttentionAdvice& advice, const AttentionPolicy& policy) {
  const std::int64_t keys = advice.problem.keys;
  if (keys > policy.sparse_over && advice.candidate(Strategy::local).refused.empty()) return Strategy::local;
  return keys > policy.checkpoint_over && advice.problem.training ? Strategy::checkpointed : Strategy::block_wise;
}

std::string thumb_says(const AttentionAdvice& advice, const AttentionPolicy& policy) {
  const std::int64_t keys = advice.problem.keys;
  switch (advice.strategy) {
    case Strategy::local:
      return fmt::format("{} keys are over {}, from where on a local window is taken where it is allowed", keys,
                         policy.sparse_over);
    case Strategy::checkpointed:
      return fmt::format("{} keys are over {}, from where on attention is computed again instead of kept{}", keys,
                         policy.checkpoint_over,
                         keys > policy.sparse_over
                             ? fmt::format("; over {} a local window would be taken ({})", policy.sparse_over,
                                           advice.candidate(Strategy::local).refused)
                             : "");
    case Strategy::plain:
    case Strategy::block_wise:
      break;
  }
  return fmt::format("exact, without a buffer of all {} x {} scores, and {}", advice.problem.time, keys,
                     advice.problem.training ? fmt::format("{} keys are no more than {}: what it keeps is small", keys,
                                                           policy.checkpoint_over)
                                             : "there is no backward pass to keep anything for");
}

std::string numbers(const Candidate& c) {
  return fmt::format("{} ({} B, of which each layer keeps {} B for its backward pass) and {}", readable_bytes(c.bytes),
                     c.bytes, c.kept_bytes, amount(c.flops));
}

std::string budgets(const AttentionPolicy& policy) {
  std::string text;
  if (policy.bytes) text = readable_bytes(static_cast<std::size_t>(std::max<std::int64_t>(0, *policy.bytes)));
  if (policy.flops) text += (text.empty() ? "" : " and ") + amount(*policy.flops);
  return text;
}

}  // namespace

const char* name_of(AttentionStrategy strategy) {
  switch (strategy) {
    case Strategy::plain:
      return "plain";
    case Strategy::block_wise:
      return "block-wise";
    case Strategy::checkpointed:
      return "block-wise, checkpointed";
    case Strategy::local:
      break;
  }
  return "local";
}

AttentionAdvice attention_advice(const AttentionCase& given, const AttentionPolicy& policy) {
  AttentionAdvice advice;
  AttentionCase& c = advice.problem = given;
  if (c.kv_heads == 0) c.kv_heads = c.heads;
  if (c.value_width == 0) c.value_width = c.width;
  if (c.keys == 0) c.keys = c.time;
  check(c, policy);
  advice.candidates = candidates_of(c, window_of(c, policy), policy.threads);
  for (Candidate& candidate : advice.candidates) candidate.refused = unsuited(c, policy, candidate);
  const Strategy thumb = by_thumb(advice, policy);

  // The rule of thumb where bytes do not matter; then, or with a byte budget at once, the first that fits: exact
  // strategies before local, fast ones before those that may take fewer bytes.
  std::vector<Strategy> order{Strategy::block_wise, Strategy::checkpointed, Strategy::plain, Strategy::local};
  if (!policy.bytes) order.insert(order.begin(), thumb);
  std::vector<Strategy> suited;
  std::ranges::copy_if(order, std::back_inserter(suited),
                       [&](Strategy strategy) { return advice.candidate(strategy).refused.empty(); });
  for (Candidate& candidate : advice.candidates)
    if (candidate.refused.empty()) candidate.refused = over_budget(policy, candidate);
  const auto first =
      std::ranges::find_if(suited, [&](Strategy strategy) { return advice.candidate(strategy).refused.empty(); });
  advice.fits = first != suited.end();
  advice.strategy = advice.fits ? *first : *std::ranges::min_element(suited, {}, [&](Strategy strategy) {
    return share_of_budget(policy, advice.candidate(strategy));
  });

  const std::string window =
      advice.strategy == Strategy::local ? fmt::format(" (window {})", advice.chosen().window) : "";
  advice.why = fmt::format("{}{}: ", name_of(advice.strategy), window);
  if (!advice.fits) {
    advice.why += fmt::format("nothing fits {}; this comes closest, {}", budgets(policy), advice.chosen().refused);
  } else if (advice.strategy == thumb && !policy.bytes) {
    advice.why += thumb_says(advice, policy);
  } else {
    advice.why += fmt::format("the first that fits {}", budgets(policy));
    for (const Candidate& candidate : advice.candidates)
      if (candidate.strategy != advice.strategy && !candidate.refused.empty())
        advice.why += fmt::format("; {}: {}", name_of(candidate.strategy), candidate.refused);
  }
  advice.why += fmt::format(". It takes {}.", numbers(advice.chosen()));
  return advice;
}

AttentionOptions AttentionAdvice::options(AttentionOptions base) const {
  base.causal = problem.causal;
  base.method = strategy == Strategy::plain ? AttentionMethod::plain : AttentionMethod::block_wise;
  if (strategy == Strategy::local) base.window = chosen().window;
  return base;
}

std::string AttentionAdvice::str() const {
  const AttentionCase& c = problem;
  std::string text = fmt::format("attention {} x {} queries x {} keys, {} heads of {}, {} layer{}, {}{}\n", c.batch,
                                 c.time, c.keys, c.heads, c.width, c.layers, c.layers == 1 ? "" : "s", name_of(c.dtype),
                                 c.training ? ", training" : "");
  for (const Candidate& candidate : candidates)
    text += fmt::format(
        "{} {:<24} {:>11} {:>11} kept {:>12}  {}\n", candidate.strategy == strategy ? '>' : ' ',
        name_of(candidate.strategy) + (candidate.window > 0 ? fmt::format(", window {}", candidate.window) : ""),
        readable_bytes(candidate.bytes), readable_bytes(candidate.kept_bytes), amount(candidate.flops),
        candidate.refused);
  return text + why + "\n";
}

std::ostream& operator<<(std::ostream& out, const AttentionAdvice& advice) { return out << advice.str(); }

}  // namespace weft
