#include <weft/autodiff/attention_cost.h>
#include <weft/autodiff/attention_policy.h>
#include <weft/runtime/memory/plan.h>

#include <algorithm>
#include <array>
#include <ostream>

namespace weft {
namespace {

using Candidate = AttentionAdvice::Candidate;
using Way = AttentionWay;
constexpr std::array ways{Way::plain, Way::block_wise, Way::checkpointed, Way::local};

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
  for (const Way way : ways) {
    const AttentionBytes& one = way == Way::plain ? plain : way == Way::local ? local : blocks;
    const std::size_t kept = way == Way::checkpointed ? 0 : one.kept;
    const std::int64_t own = way == Way::local ? window : 0;
    candidates.push_back({.way = way,
                          .window = own,
                          .bytes = one.arena + static_cast<std::size_t>(c.layers - 1) * kept,
                          .kept_bytes = kept,
                          .flops = attention_flops(c, way, own),
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
    if (attention_flops(c, Way::local, middle * 64) <= *policy.flops) least = middle;
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
  switch (candidate.way) {
    case Way::plain:
      if (c.keys > policy.plain_up_to)
        return fmt::format("more than {} keys: a buffer of all scores", policy.plain_up_to);
      break;
    case Way::checkpointed:
      if (!c.training) return "there is no backward pass";
      break;
    case Way::local:
      if (!policy.approximate) return "leaves keys out, which is not allowed";
      if (candidate.window >= c.keys)
        return fmt::format("a window of {} leaves out none of {} keys", candidate.window, c.keys);
      break;
    case Way::block_wise:
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
Way by_thumb(const AttentionAdvice& advice, const AttentionPolicy& policy) {
  const std::int64_t keys = advice.problem.keys;
  if (keys > policy.sparse_over && advice.candidate(Way::local).refused.empty()) return Way::local;
  return keys > policy.checkpoint_over && advice.problem.training ? Way::checkpointed : Way::block_wise;
}

std::string thumb_says(const AttentionAdvice& advice, const AttentionPolicy& policy) {
  const std::int64_t keys = advice.problem.keys;
  switch (advice.way) {
    case Way::local:
      return fmt::format("{} keys are over {}, from where on a local window is taken where it is allowed", keys,
                         policy.sparse_over);
    case Way::checkpointed:
      return fmt::format("{} keys are over {}, from where on attention is computed again instead of kept{}", keys,
                         policy.checkpoint_over,
                         keys > policy.sparse_over
                             ? fmt::format("; over {} a local window would be taken ({})", policy.sparse_over,
                                           advice.candidate(Way::local).refused)
                             : "");
    case Way::plain:
    case Way::block_wise:
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

const char* name_of(AttentionWay way) {
  switch (way) {
    case Way::plain:
      return "plain";
    case Way::block_wise:
      return "block-wise";
    case Way::checkpointed:
      return "block-wise, checkpointed";
    case Way::local:
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
  const Way thumb = by_thumb(advice, policy);

  // The rule of thumb where bytes do not matter; then, or with a byte budget at once, the first that fits: exact ways
  // before local, fast ones before those that may take fewer bytes.
  std::vector<Way> order{Way::block_wise, Way::checkpointed, Way::plain, Way::local};
  if (!policy.bytes) order.insert(order.begin(), thumb);
  std::vector<Way> suited;
  std::ranges::copy_if(order, std::back_inserter(suited),
                       [&](Way way) { return advice.candidate(way).refused.empty(); });
  for (Candidate& candidate : advice.candidates)
    if (candidate.refused.empty()) candidate.refused = over_budget(policy, candidate);
  const auto first = std::ranges::find_if(suited, [&](Way way) { return advice.candidate(way).refused.empty(); });
  advice.fits = first != suited.end();
  advice.way = advice.fits ? *first : *std::ranges::min_element(suited, {}, [&](Way way) {
    return share_of_budget(policy, advice.candidate(way));
  });

  const std::string window = advice.way == Way::local ? fmt::format(" (window {})", advice.chosen().window) : "";
  advice.why = fmt::format("{}{}: ", name_of(advice.way), window);
  if (!advice.fits) {
    advice.why += fmt::format("nothing fits {}; this comes closest, {}", budgets(policy), advice.chosen().refused);
  } else if (advice.way == thumb && !policy.bytes) {
    advice.why += thumb_says(advice, policy);
  } else {
    advice.why += fmt::format("the first that fits {}", budgets(policy));
    for (const Candidate& candidate : advice.candidates)
      if (candidate.way != advice.way && !candidate.refused.empty())
        advice.why += fmt::format("; {}: {}", name_of(candidate.way), candidate.refused);
  }
  advice.why += fmt::format(". It takes {}.", numbers(advice.chosen()));
  return advice;
}

AttentionOptions AttentionAdvice::options(AttentionOptions base) const {
  base.causal = problem.causal;
  base.method = way == Way::plain ? AttentionMethod::plain : AttentionMethod::block_wise;
  if (way == Way::local) base.window = chosen().window;
  return base;
}

std::string AttentionAdvice::str() const {
  const AttentionCase& c = problem;
  std::string text = fmt::format("attention {} x {} queries x {} keys, {} heads of {}, {} layer{}, {}{}\n", c.batch,
                                 c.time, c.keys, c.heads, c.width, c.layers, c.layers == 1 ? "" : "s", name_of(c.dtype),
                                 c.training ? ", training" : "");
  for (const Candidate& candidate : candidates)
    text +=
        fmt::format("{} {:<24} {:>11} {:>11} kept {:>12}  {}\n", candidate.way == way ? '>' : ' ',
                    name_of(candidate.way) + (candidate.window > 0 ? fmt::format(", window {}", candidate.window) : ""),
                    readable_bytes(candidate.bytes), readable_bytes(candidate.kept_bytes), amount(candidate.flops),
                    candidate.refused);
  return text + why + "\n";
}

std::ostream& operator<<(std::ostream& out, const AttentionAdvice& advice) { return out << advice.str(); }

}  // namespace weft
