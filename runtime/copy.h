// An explicit copy of bytes, put in by lowering where a value must not share a state's storage. Not in <weft/weft.h>.
#pragma once

#include <weft/graph/op_def.h>

namespace weft {

const OpDef& copy_op();

}  // namespace weft
