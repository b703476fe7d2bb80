// Running sums along an axis.
#pragma once

#include <weft/graph/graph.h>

namespace weft {

/// y[i] = x[0] + ... + x[i] along `axis` (torch.cumsum); `reverse`: x[i] + ... + x[n - 1]. Floats are added in f64, one
/// after the other, whatever the number of threads. UserError for bools; hint: cast.
Value cumsum(const Arg& x, std::int64_t axis, bool reverse = false);

const OpDef& cumsum_op();
void register_scan();

}  // namespace weft
