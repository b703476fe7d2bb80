// einsum, outer and gram: sums of products in index notation, built from transposes, reshapes and matmuls.
#pragma once

#include <weft/graph/graph.h>

#include <string>
#include <vector>

namespace weft {

/// torch.einsum: "bqd,bkd->bqk". A letter names an axis; letters that the output lacks are summed over; without "->"
/// the output has the letters that occur once, in alphabetical order. "..." stands for leading axes that broadcast. A
/// letter twice in an operand takes its diagonal. Operands are contracted from left to right. UserError: a malformed
/// equation, another number of operands or axes, extents that disagree.
Value einsum(const std::string& equation, const std::vector<Value>& operands,
             std::source_location where = std::source_location::current());

/// y[i, j] = a[i] b[j].
Value outer(const Arg& a, const Arg& b);
/// y = x x^T: x [.., n, d], y [.., n, n].
Value gram(const Arg& x);

}  // namespace weft
