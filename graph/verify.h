// Consistency checks of graphs and steps, run after every pass and transform.
#pragma once

#include <weft/graph/step.h>

namespace weft {

/// InternalError if the graph is broken. Checked: operands come before their readers, types are what the shape rules
/// say, ids and names are unique, edges match operands.
void verify(const Graph& graph);
/// The same, and: values belong to the step's graph, gradients have their parameters' types, each state has at most one
/// update; with several micro-batches, only gathering ops (Traits::gathers) of the step read values of Phase::micro,
/// and no node of Phase::micro reads a gathered value.
void verify(const Step& step);

}  // namespace weft
