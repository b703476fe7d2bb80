// Detects attention heads that collapse: all queries of a head put nearly all weight on one key. Such a head gets
// almost no gradient, since softmax is flat there, and training diverges (Zhai et al. 2023, "Stabilizing Transformer
// Training by Preventing Attention Entropy Collapse", section 3).
#pragma once

#include <weft/nn/attention_report.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace weft::nn {

struct CollapseOptions {
  /// First sign: the mean over queries of a query's largest weight (HeadReport::peak) is above this.
  double weight_above = 0.95;
  /// Second sign: the mean entropy of the queries, in nats, is below this.
  double entropy_below = 0.1;
  /// How many observations in a row must show one of the two signs; fewer may be due to a single batch.
  std::int64_t lasting = 3;
  /// Use the largest weight of any query (HeadReport::maximum) instead of the mean: one sharp query is enough.
  bool any_query = false;
};

/// A head that has collapsed.
struct Collapse {
  std::string path;
  std::int64_t head = 0;
  std::int64_t began = 0;                      ///< the step of the first observation in the row
  std::int64_t seen = 0;                       ///< the step of the observation that completed the row
  double weight = 0, entropy = 0;              ///< at that step
  bool by_weight = false, by_entropy = false;  ///< which signs it shows
  /// Its dominant pattern: a healthy head that has learned to attend to one position shows the same signs.
  HeadPattern pattern = HeadPattern::uniform;
  double strength = 0;  ///< of the pattern (HeadReport::strength)

  /// What is wrong, since when, and what to do.
  std::string str() const;
};

/// Advice against collapse, as text: a higher temperature, attention dropout, label smoothing, with the options' names.
std::string collapse_advice();

/// Watches heads over a training run:
///
///   for (step..) for (const Collapse& c : monitor.observe(step, attention_report(result, tapped))) warn(c.str());
///
/// A collapse ends after `lasting` observations in a row without a sign; later the head may collapse again.
class CollapseMonitor {
 public:
  /// UserError: a threshold out of its range, lasting < 1.
  explicit CollapseMonitor(CollapseOptions options = {});

  /// The heads whose collapse this observation completes; each is reported once. UserError: `step` is not above the
  /// last one.
  std::vector<Collapse> observe(std::int64_t step, const AttentionReport& report);
  std::vector<Collapse> observe(std::int64_t step, const Result& result, const Step& tapped) {
    return observe(step, attention_report(result, tapped));
  }

  /// All heads that are collapsed now, in the order in which their collapse began.
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
