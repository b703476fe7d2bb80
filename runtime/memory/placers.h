// Ways to lay blocks into an arena. Each is deterministic. Private to runtime/.
#pragma once

#include <weft/runtime/memory/packing.h>

#include <string_view>
#include <vector>

namespace weft {

/// An order in which best fit takes the blocks.
struct Placer {
  std::string_view name;
  bool quick = false;  ///< among those that a search over plans tries
  bool large = false;  ///< the one for thousands of blocks, beside the order in which they begin
  std::vector<int> (*order)(const Packing&) = nullptr;
};

/// Quick ones first.
const std::vector<Placer>& placers();

/// Arenas of fixed sizes between the least and `packed`'s are filled from below, until the two are close or `work`
/// (pairs of blocks looked at), which is lowered, is used up. Whether `packed` became smaller.
bool fill(Packing& packing, Packed& packed, std::size_t& work);

}  // namespace weft
