// Where the backward pass of a step computes d loss / d value, for values that are no parameters. Private to inspect/.
#pragma once

#include <weft/graph/step.h>

#include <map>
#include <vector>

namespace weft {

/// The value of `step` that is the cotangent of each of `values` (values of the forward pass that a trained parameter
/// goes into): times the loss scale and not divided by the weight of the loss, where the step does that to its seeds.
/// None for those for which the step has none: nothing flows, or several backward passes share the work (accumulate()
/// of a loss of several weights).
///
/// Found by walking back once more, over a copy of the graph, and looking up which nodes of the step are equal.
std::map<ValueRef, Value> find_cotangents(const Step& step, const std::vector<Value>& values);

}  // namespace weft
