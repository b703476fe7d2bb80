// Gradients as results of a run.
#pragma once

#include <weft/graph/step.h>

#include <source_location>
#include <string>

namespace weft {

/// Publishes "gradient/PATH" for each parameter whose path matches the glob (graph/glob.h): the gradient as it is at
/// this place of the chain, and always clean: unscaled, divided by the weight of the loss, checked (this transform
/// unscales and checks the gradients if nobody has); behind a clip it is the clipped one. Changes no bits of anything
/// else. UserError: no gradients; a pattern that matches no parameter with a gradient.
Transform fetch_gradients(std::string pattern = "**", std::source_location where = std::source_location::current());

}  // namespace weft
