// Attention that collapses: heads whose queries all put nearly everything on one key. Such a head has no gradient left
// to come back by (softmax is flat there), and training diverges (Zhai et al. 2023, "Stabilizing Transformer Training
// by Preventing Attention Entropy Collapse", section 3).
#pragma once

#include <weft/nn/attention_report.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace weft::nn {

struct CollapseOptions {
  /// One weight above this: of a query's largest weight in the mean over the queries (HeadReport::peak).
  double weight_above = 0.95;
  /// Mean entropy of the queries below this, in nats.
  double entropy_below = 0.1;
  /// How many observations in a row must show one of the two signs: fewer are a passing batch.
  std::int64_t lasting = 3;
  /// Take the largest weight of any query (HeadReport::maximum) instead of the mean query's: one sharp query is enough.
  bool any_query = false;
};

/// A head that has collapsed.
struct Collapse {
  std::string path;
  std::int64_t head = 0;
  std::int64_t began = 0;                      ///< the step of the first observation of those that showed it
  std::int64_t seen = 0;                       ///< the step at which it had lasted
  double weight = 0, entropy = 0;              ///< at that step
  bool by_weight = false, by_entropy = false;  ///< which signs it shows
  /// its dominant pattern: a head that has learned to look at one place shows
  HeadPattern pattern = HeadPattern::uniform;
  double strength = 0;  ///< the same signs, and is not ill

  /// What is wrong, since when, and what to do.
  std::string str() const;
};

/// What to do against it, for people: raise the temperature, attention dropout, label smoothing, with the options'
/// names.
std::string collapse_advice();

/// Watches heads over a training run:
///
///   for (step..) for (const Collapse& c : monitor.observe(step, attention_report(result, tapped))) warn(c.str());
///
/// A collapse ends where as many observations in a row show no sign; then it may begin anew.
class CollapseMonitor {
 public:
  /// UserError: a threshold out of its range, lasting < 1.
  explicit CollapseMonitor(CollapseOptions options = {});

  /// The heads that are found to have collapsed by this observation; each once. UserError: steps must increase.
  std::vector<Collapse> observe(std::int64_t step, const AttentionReport& report);
  std::vector<Collapse> observe(std::int64_t step, const Result& result, const Step& tapped) {
    return observe(step, attention_report(result, tapped));
  }

  /// All that are collapsed now, by where it began first.
  std::vector<Collapse> collapsed() const;

 private:
  struct Watched {
    std::int64_t times = 0, healthy = 0, began = 0;
    Collapse last;
  };
  CollapseOptions options_;
  std::int64_t last_step_ = 0;
  bool any_ = false;
  std::map<std::pair<std::string, std::int64_t>, Watched> heads_;
};

}  // namespace weft::nn
