// A backward pass that is taken away and derived anew, for transforms that change the forward pass. Private to optim/.
#pragma once

#include <weft/graph/step.h>

#include <source_location>
#include <string>
#include <vector>

namespace weft {

/// Which nodes are not the gradient's, by id: what such a transform keeps. UserError that begins with `name` where
/// anything reads gradients (a fetch, an update, a later transform): it would be lost; and where training_step did not
/// make them.
std::vector<bool> forward_nodes(const Step& step, const std::string& name);

/// The gradients of the same parameters as `before`, from the step's losses and seeds.
void derive_gradients(Step& step, const std::vector<Gradient>& before, std::source_location where);

}  // namespace weft
