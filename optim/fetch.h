// Publishes values of the user's graph as results of a run.
#pragma once

#include <weft/graph/step.h>

#include <string>

namespace weft {

/// Publishes `value` under `name`, at any point of a chain, as the transforms before compute it. In a step of several
/// micro-batches it is the whole batch's: values of single examples are concatenated, sums over examples are added.
/// UserError: a transform removed the value (hint: fetch it earlier), or it combines examples in another form, so that
/// a step of micro-batches does not have it.
Transform fetch(std::string name, Value value, std::source_location where = std::source_location::current());

/// The step without updates, gradients, fetches and Step::taken. A Program of it runs what set_fetch() then names, and
/// nothing else.
Step without_results(Step step);

}  // namespace weft
