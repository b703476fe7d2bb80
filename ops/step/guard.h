// An op that ends a run in an error if a norm is not finite.
#pragma once

#include <weft/graph/graph.h>

#include <string>
#include <vector>

namespace weft {

/// `ok` (bool scalar) unchanged, if it is true. If it is false, the run ends in a UserError that gives the norm (f64
/// scalar) and names those of `parts` (f64 scalars, one for each name) that are not finite; it changes nothing in the
/// Store (Traits::guard).
Value require_finite(const Arg& ok, const Arg& norm, const std::vector<Value>& parts,
                     const std::vector<std::string>& names);

const OpDef& require_finite_op();
void register_guard();

}  // namespace weft
