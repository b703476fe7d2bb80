// Legality of graphs and steps, checked after every pass and transform.
#pragma once

#include <weft/graph/step.h>

namespace weft {

/// InternalError if the graph is broken: operands come before their users, types are what the shape rules say,
/// ids and names are unique, edges mirror operands.
void verify(const Graph& graph);
/// The same, and: values belong to the step's graph, gradients have their parameters' types, one update a state; where
/// there are several micro-batches, no node of the step reads a value of theirs except what gathers it, and none of
/// theirs reads what was gathered.
void verify(const Step& step);

}  // namespace weft
