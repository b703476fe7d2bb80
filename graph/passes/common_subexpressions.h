// Nodes that compute the same bits become one.
#pragma once

#include <weft/graph/pass.h>

namespace weft {

/// Two nodes of one op, equal attributes, operands and phase are one: same bits. Never merges random nodes, sources
/// other than equal constants, nodes with effects, or clones made by checkpoint (it would undo them).
Step common_subexpressions(const Step& step);

}  // namespace weft
