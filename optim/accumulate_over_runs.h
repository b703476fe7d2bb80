// Gradient accumulation over separate runs: k batches, one update.
#pragma once

#include <weft/graph/step.h>

#include <cstdint>
#include <source_location>

namespace weft {

/// Gradients and weights of k runs are added up; the update is taken at the k-th, over their total:
///
///   gradient = (sum over runs of d sum / d parameter) / (sum over runs of weight)
///
/// Without dropout that is the gradient of one run over the concatenation of the k batches. A weight that does not
/// depend on the batch counts once for each run; a term that does not depend on it counts once for each update. The
/// sums ("accumulate/sum/PATH": of the parameter's type, f32 for bf16 and f16), weights ("accumulate/weight", f64) and
/// the count of runs ("accumulate/runs") are states in the Store, saved and resumed with it; the first run after an
/// update overwrites them.
///
/// Only at the k-th run are the sums checked to be finite, and only then do parameters, the optimizer's states,
/// `updates` (schedules, Adam's t) or `skipped` change. The loss and tokens published are this run's own, grad_norm is
/// that of the sums so far. UserError: k < 1; no extent named "batch"; a loss that is not sum / weight, or gradients
/// that are not sums over the examples, each with the node and the user's line.
Transform accumulate_over_runs(std::int64_t k, std::source_location where = std::source_location::current());

}  // namespace weft
