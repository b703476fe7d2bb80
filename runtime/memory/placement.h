// Places the storages of a plan in one arena. Not in <weft/weft.h>.
#pragma once

#include <weft/runtime/memory/plan.h>

#include <string>
#include <vector>

namespace weft {

/// Sets `offset` of every arena storage, so that storages with overlapping live ranges never share bytes, and returns
/// the arena's size. Keeps the smallest result of the placers of runtime/memory/placers.h (all of them with full
/// effort) and of placing in order of `first`. With full effort, a result above the lower bound (live_peak) is improved
/// by a search of at most `work` pairs of storages; `work` is reduced by what it used. `by`: the name of what found the
/// result.
std::size_t place(std::vector<Storage>& storages, Effort effort, std::size_t& work, std::string* by);
/// The live bytes at each of `positions` + 1 positions.
std::vector<std::size_t> live_bytes(const std::vector<Storage>& storages, std::size_t positions);
/// The largest sum of live bytes: no placement can be smaller. `position`: where it is.
std::size_t live_peak(const std::vector<Storage>& storages, std::size_t positions, std::size_t* position);

}  // namespace weft
