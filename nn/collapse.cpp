#include <weft/nn/collapse.h>

#include <algorithm>

namespace weft::nn {

std::string collapse_advice() {
  return "raise the temperature (AttentionOptions::temperature), use attention dropout (AttentionOptions::dropout) or "
         "label "
         "smoothing (CrossEntropyOptions::label_smoothing)";
}

std::string Collapse::str() const {
  const std::string signs = fmt::format("{}{}{}", by_weight ? fmt::format("one weight of {:.3f}", weight) : "",
                                        by_weight && by_entropy ? ", " : "",
                                        by_entropy ? fmt::format("an entropy of {:.3f} nats", entropy) : "");
  return fmt::format(
      "attention has collapsed: head {} of '{}' since step {} (at step {}: {}; {:.2f} of it on the pattern "
      "'{}'); hint: {}",
      head, path, began, seen, signs, strength, name_of(pattern), collapse_advice());
}

CollapseMonitor::CollapseMonitor(CollapseOptions options) : options_(options) {
  WEFT_CHECK(options.weight_above > 0 && options.weight_above <= 1,
             "CollapseMonitor: weight_above must be in (0, 1], got {}", options.weight_above);
  WEFT_CHECK(options.entropy_below >= 0, "CollapseMonitor: entropy_below must be at least 0, got {}",
             options.entropy_below);
  WEFT_CHECK(options.lasting >= 1, "CollapseMonitor: a collapse lasts at least 1 observation, got {}", options.lasting);
}

std::vector<Collapse> CollapseMonitor::observe(std::int64_t step, const AttentionReport& report) {
  WEFT_CHECK(!any_ || step > last_step_, "CollapseMonitor: steps must increase, got {} after {}", step, last_step_);
  any_ = true;
  last_step_ = step;
  std::vector<Collapse> news;
  for (const LayerReport& layer : report.layers)
    for (const HeadReport& head : layer.heads) {
      Collapse now{.path = layer.path,
                   .head = head.head,
                   .seen = step,
                   .weight = options_.any_query ? head.maximum : head.peak,
                   .entropy = head.entropy,
                   .pattern = head.dominant(),
                   .strength = head.strength()};
      now.by_weight = now.weight > options_.weight_above;
      now.by_entropy = now.entropy < options_.entropy_below;  // false of NaN
      Watched& watched = heads_[{layer.path, head.head}];
      if (!now.by_weight && !now.by_entropy) {
        if (watched.times < options_.lasting || ++watched.healthy == options_.lasting) watched = {};
        continue;
      }
      watched.healthy = 0;
      if (watched.times++ == 0) watched.began = step;
      if (watched.times > options_.lasting) continue;
      now.began = watched.began;
      watched.last = now;
      if (watched.times == options_.lasting) news.push_back(std::move(now));
    }
  return news;
}

std::vector<Collapse> CollapseMonitor::collapsed() const {
  std::vector<Collapse> found;
  for (const auto& [key, watched] : heads_)
    if (watched.times >= options_.lasting) found.push_back(watched.last);
  std::ranges::stable_sort(found, {}, &Collapse::began);
  return found;
}

}  // namespace weft::nn
