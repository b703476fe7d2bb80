// Derives the backward pass of a step as nodes: for training_step, and for transforms that change the forward pass
// (mixed_precision, close_gates), which remove it and derive it again. Private to optim/.
//
// Deriving twice costs some nodes, built once, before anything runs. Deriving only on demand would save that, but steps
// between training_step and the first reader would have no gradients, which audit, a printed step and each transform
// look at. And mixed_precision before the derivation could not know how many operands read a cast: each of them has a
// cast of its own until its gradient is summed in f32.
#pragma once

#include <weft/graph/step.h>

#include <string>
#include <vector>

namespace weft {

/// The gradients of the step's loss with respect to those of `parameters` on which it depends: derived from the sums of
/// its terms and their initial cotangents, Step::seeds.
std::vector<Gradient> gradients_of(const Step& step, const std::vector<Value>& parameters);

/// By node id: whether the node is of the forward pass, which a transform that changes it keeps. UserError that begins
/// with `name` where something reads gradients (a fetch, an update, a later transform), which would be lost, and where
/// training_step did not make them.
std::vector<bool> forward_nodes(const Step& step, const std::string& name);

/// The gradients of the same parameters as `before`, with the same tags, through the forward pass as it is now.
void rederive_gradients(Step& step, const std::vector<Gradient>& before);

}  // namespace weft
