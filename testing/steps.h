// Checks of what a run of a step gives, behind the matchers AllFinite and SameBits.
#pragma once

#include <weft/graph/step.h>
#include <weft/testing/outcome.h>

namespace weft::testing {

/// One run: no NaN and no infinity in what the step publishes, in its clean gradients and in the parameters and states
/// that it updates. On failure the node in which that begins, with the ranges of its operands and the user's line
/// (inspect/divergence/first_nonfinite.h). An infinity that does no harm (a mask of -inf before a softmax) is no
/// failure.
Outcome all_finite(const Step& step, const RunOptions& options = {});

struct SameBitsOptions {
  NamedTensors feeds = {};  ///< these five as RunOptions; of each run, or drawn anew for each
  const Store* store = nullptr;
  std::uint64_t seed = 0;
  std::map<std::string, std::int64_t> integers = {};
  std::map<std::string, double> padding = {};
  int runs = 2;
};

/// Whether two steps give the same bits: what both publish, the clean gradients that both have, the parameters and
/// states that both update, run after run. The steps may be forms of one step or of graphs built apart with the same
/// paths. On failure the first quantity that differs and, of its run, the first node
/// (inspect/divergence/first_divergence.h). UserError: nothing to compare.
Outcome bits_agree(const Step& found, const Step& expected, const SameBitsOptions& options = {});

}  // namespace weft::testing
