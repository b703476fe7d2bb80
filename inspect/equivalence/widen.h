// The float64 twin of a step: the same mathematics without the rounding of its types.
#pragma once

#include <weft/graph/step.h>

namespace weft {

/// The step with f64 in place of f32, bf16 and f16: in inputs, parameters, states, constants, initial values and in
/// every attribute that holds a type, so that each cast becomes the identity. Nodes keep their ids, names, lines and
/// random streams: the twin draws the same dropout masks. A number that was rounded before (a constant, an initial
/// value given as a tensor) keeps its rounded value; a number in an attribute is exact. UserError where an op refuses
/// f64, with its path and line.
Step widen(const Step& step);

/// Whether any value of the step is of a floating type narrower than f64.
bool has_narrow_types(const Step& step);

}  // namespace weft
