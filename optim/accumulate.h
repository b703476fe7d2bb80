// Gradient accumulation inside one run: the batch of a step is cut into micro-batches.
#pragma once

#include <weft/graph/step.h>

#include <cstdint>
#include <source_location>

namespace weft {

/// The same step, with memory for the activations of a batch k times smaller. Feeds keep their shapes [N, ...]; a run
/// executes the nodes of Phase::micro k times, with N / k examples each, and all others once. Its results equal those
/// of the whole batch up to rounding, also with dropout (masks are drawn by the row of the whole batch) and with
/// padding that differs between micro-batches:
///
///   gradient = (sum over micro-batches of d sum / d parameter) / (sum over micro-batches of weight)
///
/// so sums are added up and divided once, by the total weight; means are not averaged (Step::gradient_weight; the first
/// transform that reads the gradients divides). Terms of the loss that have other weights, or none, get a backward pass
/// and accumulators of their own; terms that do not depend on the batch are computed once. So are other values that do
/// not depend on it (casts of weights), before the micro-batches. Fetches and updates of states are those of the whole
/// batch: sums are added, values of single examples are concatenated, functions of sums (the mean loss) are computed
/// once the sums are complete.
///
/// Accumulators of bf16 and f16 gradients are f32. k = 1 leaves the step as it is. UserError: k < 1; no extent named
/// "batch"; k does not divide it; a loss that is not sum / weight; a gradient, fetch or update that combines examples
/// otherwise than by a sum (BatchState mixed); an extent given as a number that only equals the batch. Each names the
/// node and the user's line.
Transform accumulate(std::int64_t k, std::source_location where = std::source_location::current());

}  // namespace weft
