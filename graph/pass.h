// Passes that rewrite a step without changing what it computes, and the function that runs them.
#pragma once

#include <weft/graph/step.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace weft {

struct Pass {
  std::string name;
  std::function<Step(const Step&)> run;
  /// Among the passes that users' ops bring (OpDef::lowerings): lower runs first, then by name. The table in
  /// runtime/lower.h says where those run, and in which order weft's own do.
  int order = 0;
  /// Serves kernels alone and is run by plan(): fuse() in runtime/lower.h. What it removes (a gradient that only its
  /// update reads) is still in the lowered step, which checkpoint and the float64 twin read.
  bool late = false;
  bool optional = false;  ///< runs only where PassOptions::enabled names it
};

struct PassOptions {
  std::set<std::string> disabled = {};  ///< names of passes to leave out, to bisect
  bool verify = true;                   ///< verify the step after each pass
  std::set<std::string> enabled = {};   ///< names of optional passes to run
};

/// What each pass did, for people: nodes before and after, time, "unchanged".
struct PassReport {
  struct Line {
    std::string name;
    std::size_t nodes_before = 0, nodes_after = 0;
    double seconds = 0;
    bool changed = false, disabled = false;
  };
  std::vector<Line> lines;
  std::string str() const;
};

/// Runs each pass unless it is disabled (an optional one where it is enabled), times it, verifies the step after it.
Step run_passes(Step step, const std::vector<Pass>& passes, const PassOptions& options = {},
                PassReport* report = nullptr);

}  // namespace weft
