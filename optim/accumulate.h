// Gradient accumulation inside of one run: the batch of a step, cut into micro-batches.
#pragma once

#include <weft/graph/step.h>

#include <cstdint>
#include <source_location>

namespace weft {

/// The same step in the memory of a batch k times smaller. Feeds keep their shapes [N, ...]; a run goes k times over
/// the nodes of Phase::micro, with N / k examples each, and once over all others. What it gives equals the whole batch
/// to rounding, with dropout (masks are drawn by the row of the whole batch) and padding that differs between
/// micro-batches:
///
///   gradient = (sum over micro-batches of d sum / d parameter) / (sum over micro-batches of weight)
///
/// so sums are added up and divided once, by the total weight, not means averaged (Step::gradient_weight; divided by
/// the first of clip and optimize). Terms of the loss that have other weights, or none, get a backward pass and
/// accumulators of their own; terms that are free of the batch are computed once. Values free of the batch (casts of
/// weights) are computed once, before. Published and fetched values, and updates of states, are those of the whole
/// batch: sums are added, values of each example are put side by side, functions of sums (the mean loss) computed when
/// those are complete.
///
/// Accumulators of bf16 and f16 gradients are f32. k = 1 leaves the step as it is. UserError: k < 1; no extent named
/// "batch"; k does not divide it; a loss that is no sum over weight; a gradient, fetch or update for which examples
/// meet (BatchState mixed) before their sum; an extent given as a number that only equals the batch. Each names the
/// node and the user's line.
Transform accumulate(std::int64_t k, std::source_location where = std::source_location::current());

}  // namespace weft
