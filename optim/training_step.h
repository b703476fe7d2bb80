// Makes a training step of a loss: the backward pass becomes nodes beside the forward pass.
#pragma once

#include <weft/graph/step.h>

#include <source_location>
#include <vector>

namespace weft {

/// The step that computes `loss` and its gradient with respect to every parameter on which it depends. Pure: the loss's
/// graph stays as it is. Publishes "loss" (the mean) and "tokens" (the weight of the first term that has one).
///
/// Each term's sum gets the cotangent coefficient / weight, so gradients are divided by the weight; accumulate and
/// scale_loss change those cotangents (Step::seeds). UserError: problems of the graph, no loss, a loss that is not a
/// scalar, a loss that depends on no parameter.
Step training_step(const Loss& loss, std::source_location where = std::source_location::current());

/// The step for evaluation (torch: model.eval()): ops of training such as dropout are removed (OpDef::evaluation), as
/// is all that no fetch needs. Publishes the loss's "sum" and "weight" beside "loss" and "tokens", so that means over
/// many batches can be weighted by tokens. There are no updates.
Step evaluation(const Loss& loss, const std::vector<Value>& fetches = {},
                std::source_location where = std::source_location::current());
/// The step for inference, as evaluation() but without a loss: for generation.
Step inference(const std::vector<Value>& fetches);
/// The same, and each run ends with the updates of the graph (Graph::update): decoding with caches that grow from run
/// to run (nn/key_value_cache.h).
Step decoding(const std::vector<Value>& fetches);

}  // namespace weft
