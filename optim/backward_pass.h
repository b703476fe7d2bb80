// The backward pass of a step as nodes: how training_step derives it, and how a transform that changes the forward pass
// (mixed_precision, close_gates) takes it away and derives it again. Private to optim/.
//
// Deriving twice costs the building of some nodes, once, before anything runs. Deriving only when somebody asks would
// save that and make every step between training_step and the first reader one without gradients, which audit, a
// printed step and each transform look at. And mixed_precision before the derivation could not know how many operands
// read a cast, of which each has a cast of its own until its gradient is summed in f32.
#pragma once

#include <weft/graph/step.h>

#include <string>
#include <vector>

namespace weft {

/// The gradients of the step's loss by those of `parameters` that it reaches: from the sums of its terms and their
/// initial cotangents, Step::seeds.
std::vector<Gradient> gradients_of(const Step& step, const std::vector<Value>& parameters);

/// Which nodes are not the gradient's, by id: what a transform that changes the forward pass keeps. UserError that
/// begins with `name` where anything reads gradients (a fetch, an update, a later transform): it would be lost; and
/// where training_step did not make them.
std::vector<bool> forward_nodes(const Step& step, const std::string& name);

/// The gradients of the same parameters as `before`, with the same tags, through the forward pass as it is now.
void rederive_gradients(Step& step, const std::vector<Gradient>& before);

}  // namespace weft
