// The source ops, whose values come from outside a run: they have no kernel, the plan binds their bytes.
#pragma once

#include <weft/graph/op_def.h>

namespace weft {

const OpDef& input_op();      ///< attributes: name, type
const OpDef& parameter_op();  ///< attributes: init, init_a, init_b
const OpDef& state_op();      ///< the same
const OpDef& constant_op();   ///< attributes: value

}  // namespace weft
