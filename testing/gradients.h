// Whether gradients are right, and whether they reach every parameter: the checks behind the matchers GradientsMatch
// and GradientsFlow.
#pragma once

#include <weft/graph/step.h>
#include <weft/inspect/op/check_gradients.h>
#include <weft/testing/outcome.h>

#include <cstdint>
#include <map>
#include <string>

namespace weft::testing {

struct GradientsMatchOptions {
  NamedTensors feeds = {};  ///< these five as RunOptions
  const Store* store = nullptr;
  std::uint64_t seed = 0;
  std::map<std::string, std::int64_t> integers = {};
  std::map<std::string, double> padding = {};
  std::string parameters = "**";              ///< a glob (graph/glob.h)
  double h = 1e-6, atol = 1e-5, rtol = 1e-3;  ///< GradientCheckOptions, as all below
  bool slope = true;
  int directions = 1;
  std::int64_t most_elements = 12;  ///< of each parameter
  bool blame = true;                ///< on failure: which op's own backward is wrong on these numbers
};

/// Central differences and the slope test (inspect/op/check_gradients.h) of d step's loss / d parameter against the
/// gradients that the step has, as its optimizer would read them: unscaled, divided by their weight, clipped if it
/// clips. What is not f64 is rebuilt in f64 first (inspect/equivalence/widen.h): parameters, inputs and every cast, so
/// that an f32 or a mixed step is checked without the noise of its rounding. A random op draws the same numbers in
/// every run. UserError: no gradients, no parameter of that glob, an op without a kernel for f64, a step that
/// accumulates over runs.
Outcome gradients_match(const Step& step, const GradientsMatchOptions& options = {});
/// Of training_step(loss).
Outcome gradients_match(const Loss& loss, const GradientsMatchOptions& options = {});
/// Of <value, random numbers>, by every parameter (of the glob) and every floating input that it depends on.
Outcome gradients_match(const Value& value, const GradientsMatchOptions& options = {});

/// Whether every trained parameter has a gradient whose 2-norm is finite and above the threshold, in the step's own
/// types, as the optimizer would read it. On failure: which have not; where the path is cut (inspect/audit/audit.h), or
/// behind which node the gradient is lost, with what that node read. Frozen parameters are not asked. UserError: no
/// gradients.
Outcome gradients_flow(const Step& step, double threshold = 1e-8, const RunOptions& options = {});

}  // namespace weft::testing
