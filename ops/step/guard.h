// Values that refuse a run.
#pragma once

#include <weft/graph/graph.h>

#include <string>
#include <vector>

namespace weft {

/// `ok` (bool scalar) as it is where it is true. Where it is false the run ends in a UserError that says the norm (f64
/// scalar) and names those of `parts` (f64 scalars, one for each name) that are not finite; nothing in the Store has
/// changed then (Traits::guard).
Value require_finite(const Arg& ok, const Arg& norm, const std::vector<Value>& parts,
                     const std::vector<std::string>& names);

const OpDef& require_finite_op();
void register_guard();

}  // namespace weft
