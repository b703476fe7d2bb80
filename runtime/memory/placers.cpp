#include <weft/runtime/memory/placers.h>

#include <algorithm>
#include <numeric>
#include <tuple>

namespace weft {
namespace {

// Blocks sorted by a key, the smallest first; ties by index.
template <class Key>
std::vector<int> sorted(const Packing& packing, const Key& key) {
  std::vector<int> order(packing.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](int at) { return key(static_cast<std::size_t>(at)); });
  return order;
}

double area(const Block& block) { return static_cast<double>(block.bytes) * static_cast<double>(block.life()); }

// Largest first (Pisarchyk & Lee 2020, "Efficient Memory Management for Deep Neural Net Inference", section 5).
std::vector<int> by_size(const Packing& packing) {
  return sorted(packing, [&](std::size_t i) { return ~packing.blocks()[i].bytes; });
}

std::vector<int> by_area(const Packing& packing) {
  return sorted(packing, [&](std::size_t i) { return -area(packing.blocks()[i]); });
}

std::vector<int> by_last(const Packing& packing) {
  return sorted(packing, [&](std::size_t i) { return -packing.blocks()[i].last; });
}

// What lives where most bytes do has least room; the longest-lived of those lie at the bottom.
std::vector<int> by_pressure_and_life(const Packing& packing) {
  return sorted(packing, [&](std::size_t i) {
    return std::tuple(~packing.pressure()[i], -packing.blocks()[i].life(), ~packing.blocks()[i].bytes);
  });
}

std::vector<int> by_pressure_and_size(const Packing& packing) {
  return sorted(packing, [&](std::size_t i) { return std::tuple(~packing.pressure()[i], ~packing.blocks()[i].bytes); });
}

std::vector<int> by_pressure_and_first(const Packing& packing) {
  return sorted(packing, [&](std::size_t i) { return std::tuple(~packing.pressure()[i], packing.blocks()[i].first); });
}

// Bytes of the blocks that live with it.
std::vector<int> by_conflicts(const Packing& packing) {
  std::vector<std::size_t> bytes(packing.size(), 0);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    packing.for_each_meeting(static_cast<int>(i),
                             [&](int other) { bytes[i] += packing.blocks()[static_cast<std::size_t>(other)].bytes; });
  return sorted(packing, [&](std::size_t i) { return ~bytes[i]; });
}

}  // namespace

const std::vector<Placer>& placers() {
  static const std::vector<Placer> all{{"size", true, true, by_size},
                                       {"size x life", true, false, by_area},
                                       {"pressure, life", false, false, by_pressure_and_life},
                                       {"pressure, size", false, false, by_pressure_and_size},
                                       {"pressure, first", false, false, by_pressure_and_first},
                                       {"conflicts", false, false, by_conflicts},
                                       {"last", false, false, by_last}};
  return all;
}

}  // namespace weft
