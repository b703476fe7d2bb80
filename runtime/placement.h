// Offsets in one arena for storages that live for a while.
#pragma once

#include <weft/runtime/plan.h>

#include <vector>

namespace weft {

/// Sets `offset` of every arena storage, so that storages that live at once never overlap, and gives the arena's
/// size. Best-fit in three orders (size; size x lifetime; start), the smallest result kept (Pisarchyk & Lee 2020,
/// "Efficient Memory Management for Deep Neural Net Inference", section 5).
std::size_t place(std::vector<Storage>& storages);
/// The largest sum of bytes that live at once: no placement can be smaller. `position`: where.
std::size_t live_peak(const std::vector<Storage>& storages, std::size_t positions, std::size_t* position);

}  // namespace weft
