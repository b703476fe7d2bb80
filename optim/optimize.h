// Adds optimizers to a step as nodes: an update rule for each parameter, its state in the Store, an update that is
// taken where Step::taken is true.
#pragma once

#include <weft/graph/step.h>
#include <weft/optim/optimizer.h>
#include <weft/optim/optimizers/adam.h>

#include <source_location>
#include <string>
#include <vector>

namespace weft {

/// An optimizer for the parameters whose path matches a glob (graph/glob.h).
struct OptimizerGroup {
  std::string pattern;
  Optimizer optimizer;
};

/// Adds the update of every parameter that has a gradient and the counters "updates" and "skipped"; publishes "rate"
/// and "skipped" ("grad_norm" and "finite" are published by optim/unscale_and_check.h). Where Step::taken is false only
/// "skipped" changes. UserError: no gradients; applied twice; a group without parameters; groups that freeze
/// everything; a bf16 or f16 parameter.
Transform optimize(Optimizer optimizer, std::source_location where = std::source_location::current());

/// Several at once, the first match wins:
///   optimize({{"**/embedding/**", adamw({.rate = 3e-4})}, {"**/weight", muon({.rate = 0.02})}, {"**", adamw()}})
/// "rate" is the first one's; each has its own as "rate/NAME" ("rate/adamw", "rate/muon", "rate/adamw_1"). UserError as
/// above, and: a pattern that gets no parameter; a parameter that no pattern matches.
Transform optimize(std::vector<OptimizerGroup> optimizers,
                   std::source_location where = std::source_location::current());

}  // namespace weft
