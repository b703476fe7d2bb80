// The kernels of a region, and which of its outputs may overwrite operands. Private to runtime/.
#pragma once

#include <weft/graph/op_def.h>

#include <vector>

namespace weft {

std::vector<Kernel> row_region_kernels();

/// Output k may overwrite operand i where both are cut alike and no member reads the operand after the member that
/// writes the output; that member itself may read it if its own op allows it.
std::vector<InPlace> row_region_in_place(const OpView& view);

}  // namespace weft
