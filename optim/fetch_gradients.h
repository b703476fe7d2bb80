// Publishes gradients as results of a run.
#pragma once

#include <weft/graph/step.h>

#include <source_location>
#include <string>

namespace weft {

/// Publishes "gradient/PATH" for each parameter whose path matches the glob (graph/glob.h): the gradient at this place
/// of the chain, after a clip the clipped one. It is always unscaled, divided by the weight of the loss and checked
/// (this transform does so unless that is done). Nothing else changes its bits. UserError: no gradients; a pattern that
/// matches no parameter with a gradient.
Transform fetch_gradients(std::string pattern = "**", std::source_location where = std::source_location::current());

}  // namespace weft
