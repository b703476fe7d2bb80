// Offsets in one arena for storages that live for a while.
#pragma once

#include <weft/runtime/plan.h>

#include <string>
#include <vector>

namespace weft {

/// Sets `offset` of every arena storage, so that storages that live at once never overlap, and gives the arena's
/// size. The placers of runtime/placers.h (all of them with full effort), the smallest result kept, `by` its name;
/// hill climbing, if wanted, where it is larger than the largest sum of bytes that live at once.
std::size_t place(std::vector<Storage>& storages, Effort effort, bool climbing, std::string* by);
/// The largest sum of bytes that live at once: no placement can be smaller. `position`: where.
std::size_t live_peak(const std::vector<Storage>& storages, std::size_t positions, std::size_t* position);

}  // namespace weft
