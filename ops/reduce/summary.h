// Numbers that describe a tensor, in one pass over it: what gradient reports publish
// (inspect/gradients/tap_gradients.h). Not in <weft/weft.h>.
#pragma once

#include <weft/graph/graph.h>

namespace weft {

/// f64 [5]: the sum of x^2, the sum of x, the largest |x| (NaN if x holds one; 0 if x is empty), how many are 0, how
/// many are NaN or infinite. Of all elements, added in double in an order that the shape alone decides.
Value summary(const Arg& x);
/// f64 [k]: how many |x| are at most bounds[i], an f64 [k]. An x of NaN is in none; of a bound of NaN: NaN.
Value count_within(const Arg& x, const Arg& bounds);

const OpDef& summary_op();
const OpDef& count_within_op();
void register_summary();

}  // namespace weft
