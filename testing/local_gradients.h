// Which node a wrong gradient comes from. Private to testing/.
#pragma once

#include <weft/graph/step.h>
#include <weft/inspect/op/check_gradients.h>
#include <weft/runtime/program.h>

#include <string>
#include <vector>

namespace weft::testing {

/// Each kind of node of `scalar` (op, attributes, types), alone, at the numbers that it reads in a run of the f64 step:
/// those whose backward disagrees with central differences, in build order, each with its line. Else the ops that were
/// read on a kink, else those that cut the gradient of one of the `failing` values on purpose. Text for people.
std::string wrong_backwards(const Step& step, const Value& scalar, const std::vector<Value>& failing,
                            std::span<const Feed> feeds, const Store& store, const GradientCheckOptions& options);

}  // namespace weft::testing
