// Ways to lay blocks into an arena. Each is deterministic. Private to runtime/.
#pragma once

#include <weft/runtime/packing.h>

#include <string_view>
#include <vector>

namespace weft {

/// An order in which best fit takes the blocks.
struct Placer {
  std::string_view name;
  bool quick = false;  ///< among those that a search over plans tries
  std::vector<int> (*order)(const Packing&) = nullptr;
};

/// Quick ones first.
const std::vector<Placer>& placers();

/// Hill climbing over the order: blocks at the top of the arena are moved ahead of ones that lie in their way, and what
/// is no worse is kept, until the arena is as small as can be or `moves` have been tried. Numbers come from a fixed
/// sequence. Better(s) `order` and `packed`.
void climb(Packing& packing, std::vector<int>& order, Packed& packed, std::size_t moves);

}  // namespace weft
