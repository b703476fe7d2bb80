// How a region runs. Private to runtime/.
#pragma once

#include <weft/graph/op_def.h>

#include <vector>

namespace weft {

std::vector<Kernel> row_region_kernels();

/// Output k may lie in operand i's bytes where both are cut alike and no member reads the operand after the one that
/// writes the output; that one itself may where its own op allows it.
std::vector<InPlace> row_region_in_place(const OpView& view);

}  // namespace weft
