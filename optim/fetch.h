// Publishing a value of the user's graph.
#pragma once

#include <weft/graph/step.h>

#include <string>

namespace weft {

/// Publishes `value` under `name`, at any point of a chain: wherever the transforms before have put it. In a step of
/// several micro-batches it is the whole batch's: a value of each example is put side by side, a sum over examples
/// added up. UserError: a transform removed the value (hint: fetch it earlier), or examples meet in it in another way,
/// so that a step of micro-batches does not have it.
Transform fetch(std::string name, Value value, std::source_location where = std::source_location::current());

/// The step with nothing left to give: no updates, gradients, fetches or verdict on their finiteness. A Program of it
/// runs what set_fetch() then names, and no more.
Step without_results(Step step);

}  // namespace weft
