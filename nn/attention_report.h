// What the taps of a run say about each head, as a table for people and as JSON.
#pragma once

#include <weft/ops/attention/head_statistics.h>
#include <weft/runtime/program.h>

#include <array>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace weft::nn {

/// One head of one attention; NaN where no query counts (ops/attention/head_statistics.h).
struct HeadReport {
  std::string path;
  std::int64_t head = 0;
  double entropy = 0;                                                ///< nats
  double sparsity = 0;                                               ///< share of weights below the tap's threshold
  double peak = 0;                                                   ///< a query's largest weight, in the mean
  double maximum = 0;                                                ///< the largest weight of all
  std::array<double, head_patterns.size()> share = {}, chance = {};  ///< of the patterns, in their order

  /// The pattern that stands out most against what a uniform row has by chance: the largest of (share - chance) / (1 -
  /// chance), which is a where the head is a pattern + (1 - a) uniform. `block`, which holds the diagonal, must stand
  /// out by 0.05 more than the narrower ones.
  HeadPattern dominant() const;
  /// The share of the attention's mass that lies on that pattern.
  double strength() const { return share[static_cast<std::size_t>(dominant())]; }
};

struct LayerReport {
  std::string path;
  double diversity = 0;  ///< of the layer's heads; NaN of a single one
  std::vector<HeadReport> heads;
};

struct AttentionReport {
  std::vector<LayerReport> layers;  ///< in the step's order

  /// UserError: that head is not in the report.
  const HeadReport& head(const std::string& path, std::int64_t head) const;
  /// A line a head.
  std::string str() const;
  /// {"layers": [{"path", "diversity", "heads": [{"head", "entropy", .., "pattern", "strength", "shares"}]}]}; NaN is
  /// null.
  std::string json() const;
};
std::ostream& operator<<(std::ostream& out, const AttentionReport& report);

/// Reads what tap_attention() published of the step by its last run. UserError: the step has no such taps, the result
/// is of another step.
AttentionReport attention_report(const Result& result, const Step& step);

}  // namespace weft::nn
