// Splits the result of one packed projection into queries, keys and values. Not in <weft/weft.h>.
#pragma once

#include <weft/graph/graph.h>

#include <cstdint>

namespace weft {

/// {q, k, v}: the first `q` elements of each row of x [.., q + k + v], the next `k`, and the rest. Equals three slices,
/// but takes one pass; so does its backward, where the gradients of three slices would fill and add three tensors of
/// x's size. UserError: a part without elements.
Values unpack(const Arg& x, std::int64_t q, std::int64_t k);

const OpDef& unpack_op();
void register_unpack();

}  // namespace weft
