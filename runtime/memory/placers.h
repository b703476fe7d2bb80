// Orders in which blocks are placed into an arena. Each is deterministic. Private to runtime/.
#pragma once

#include <weft/runtime/memory/packing.h>

#include <string_view>
#include <vector>

namespace weft {

/// An order in which best fit takes the blocks.
struct Placer {
  std::string_view name;
  bool quick = false;  ///< tried by a search over plans too
  bool large = false;  ///< tried for thousands of blocks too, beside the order of `first`
  std::vector<int> (*order)(const Packing&) = nullptr;
};

/// Quick ones first.
const std::vector<Placer>& placers();

/// Searches for a smaller arena: fills arenas of fixed sizes between the least and `packed`'s from below, until the two
/// are close or `work` (pairs of blocks looked at) is used up; reduces `work` by what it used. Returns whether `packed`
/// became smaller.
bool fill(Packing& packing, Packed& packed, std::size_t& work);

}  // namespace weft
