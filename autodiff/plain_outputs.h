// The plain definition of an op and its evaluation rule, as they are called. Private to autodiff/ and optim/.
#pragma once

#include <weft/graph/op_def.h>

namespace weft {

/// op.plain(plain), of which the user's own may give too little. UserError: not a value for each of `plain.out`, or one
/// of another shape; it reads an operand that there is not; it throws; it is made of the op itself.
Values plain_outputs(const OpDef& op, const Plain& plain);
/// The same of op.evaluation(plain), whose values must also have the types' dtypes.
Values evaluation_outputs(const OpDef& op, const Plain& plain);

}  // namespace weft
