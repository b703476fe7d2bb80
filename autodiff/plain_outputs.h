// The plain definition of an op, as it is called. Private to autodiff/.
#pragma once

#include <weft/graph/op_def.h>

namespace weft {

/// op.plain(plain), of which the user's own may give too little. UserError: not a value for each of `plain.out`, or one of
/// another shape; or it reads an operand that there is not, by at().
Values plain_outputs(const OpDef& op, const Plain& plain);

}  // namespace weft
