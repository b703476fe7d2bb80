// A report on each attention head, read from the taps of a run (nn/attention_taps.h), as a table for people and as
// JSON.
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
  double peak = 0;                                                   ///< mean over queries of the largest weight
  double maximum = 0;                                                ///< the largest weight of all
  std::array<double, head_patterns.size()> share = {}, chance = {};  ///< in the order of head_patterns

  /// The pattern with the largest (share - chance) / (1 - chance); it is a for a head that is a mixture, a of the
  /// pattern and 1 - a of uniform. `block`, which contains the diagonal, must exceed the narrower patterns by 0.05.
  HeadPattern dominant() const;
  /// The share of the attention's mass that lies on that pattern.
  double strength() const { return share[static_cast<std::size_t>(dominant())]; }
};

struct LayerReport {
  std::string path;
  double diversity = 0;  ///< of the layer's heads; NaN for a single head
  std::vector<HeadReport> heads;
};

struct AttentionReport {
  std::vector<LayerReport> layers;  ///< in the step's order

  /// The report of one head. UserError: it is not there.
  const HeadReport& head(const std::string& path, std::int64_t head) const;
  /// A table with one line for each head.
  std::string str() const;
  /// {"layers": [{"path", "diversity", "heads": [{"head", "entropy", .., "pattern", "strength", "shares"}]}]}; NaN is
  /// null.
  std::string json() const;
};
std::ostream& operator<<(std::ostream& out, const AttentionReport& report);

/// Reads from `result`, of a run of `step`, what tap_attention() publishes. UserError: the step has no such taps, the
/// result is of another step.
AttentionReport attention_report(const Result& result, const Step& step);

}  // namespace weft::nn
