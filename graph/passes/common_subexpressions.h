// The pass that merges nodes that compute the same bits.
#pragma once

#include <weft/graph/pass.h>

namespace weft {

/// Two nodes with the same op, attributes, operands and phase become one. Same bits. Never merges random nodes, sources
/// other than equal constants, nodes with side effects, or the copies that checkpoint makes to recompute.
Step common_subexpressions(const Step& step);

}  // namespace weft
