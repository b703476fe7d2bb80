// From a loss to a training step: the backward pass becomes nodes beside the forward pass.
#pragma once

#include <weft/graph/step.h>

#include <source_location>
#include <vector>

namespace weft {

/// The step that computes `loss` and its gradient by every parameter that it reaches. Pure: the loss's graph stays as
/// it is. Publishes "loss" (the mean) and "tokens" (the weight of the first term that has one).
///
/// Each term's sum gets the cotangent coefficient / weight, so gradients are normalised by the weight; accumulate and
/// scale_loss act on those cotangents (Step::seeds). UserError: problems of the graph, no loss, a loss that is no
/// scalar, a loss that reaches no parameter.
Step training_step(const Loss& loss, std::source_location where = std::source_location::current());

/// The graph outside training: what is training-only is dropped (OpDef::evaluation: dropout), as is all that nobody
/// fetches. Publishes the loss's "sum" and "weight" beside "loss" and "tokens", so that means over many batches can be
/// weighted by tokens. There are no updates.
Step evaluation(const Loss& loss, const std::vector<Value>& fetches = {},
                std::source_location where = std::source_location::current());
/// Without a loss: for generation.
Step inference(const std::vector<Value>& fetches);
/// The same, and each run ends with the updates of the graph (Graph::update): decoding with caches that grow from run
/// to run (nn/key_value_cache.h).
Step decoding(const std::vector<Value>& fetches);

}  // namespace weft
