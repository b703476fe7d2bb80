// Offsets in one arena for storages that live for a while. Not in <weft/weft.h>.
#pragma once

#include <weft/runtime/memory/plan.h>

#include <string>
#include <vector>

namespace weft {

/// Sets `offset` of every arena storage, so that storages that live at once never overlap, and gives the arena's
/// size. The placers of runtime/memory/placers.h (all of them with full effort) and the order in which they begin, the
/// smallest result kept; with full effort, where that is larger than the largest sum of bytes that live at once, a
/// search of at most `work` pairs of storages, which is lowered. `by`: what found it.
std::size_t place(std::vector<Storage>& storages, Effort effort, std::size_t& work, std::string* by);
/// The sum of bytes that live at each of `positions` + 1 positions.
std::vector<std::size_t> live_bytes(const std::vector<Storage>& storages, std::size_t positions);
/// The largest sum of bytes that live at once: no placement can be smaller. `position`: where.
std::size_t live_peak(const std::vector<Storage>& storages, std::size_t positions, std::size_t* position);

}  // namespace weft
