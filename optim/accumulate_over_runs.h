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
/// Without dropout that is the gradient of one run over the k batches put one after the other. A weight that is free of
/// the batch counts once for each run; a term that is free of the batch counts once for each update. The sums
/// ("accumulate/sum/PATH": of the parameter's type, f32 for bf16 and f16), weights ("accumulate/weight", f64) and the
/// count of runs ("accumulate/runs") are states of the Store, saved and resumed with it; the first run after an update
/// writes them anew.
///
/// Only at the k-th run do parameters, the optimizer's states, `updates` (schedules, Adam's t) or `skipped` change, and
/// only then is it judged whether the sums are finite. The loss and tokens published are this run's own, grad_norm is
/// that of the sums so far. UserError: k < 1; no extent named "batch"; a loss that is no sum over weight, or gradients
/// that are no sums over the examples, each with the node and the user's line.
Transform accumulate_over_runs(std::int64_t k, std::source_location where = std::source_location::current());

}  // namespace weft
