#include <weft/runtime/memory/placement.h>
#include <weft/runtime/memory/placers.h>

#include <algorithm>
#include <numeric>

namespace weft {
namespace {

// Pairs of blocks. Arenas that cost more, of about 5000 blocks that live long, are packed once or twice instead of
// often.
constexpr std::size_t most_cost = 15'000'000;

}  // namespace

std::size_t place(std::vector<Storage>& storages, Effort effort, std::size_t& work, std::string* by) {
  std::vector<Block> blocks;
  std::vector<std::size_t> at;
  for (std::size_t i = 0; i < storages.size(); ++i) {
    const Storage& storage = storages[i];
    if (storage.kind != StorageKind::arena || storage.bytes == 0) continue;
    blocks.push_back({storage.bytes, static_cast<int>(storage.first), static_cast<int>(storage.last)});
    at.push_back(i);
  }
  Packing packing(std::move(blocks));
  Packed best, trial;
  packing.pack_by_start(best);
  std::string_view name = "first";
  for (const Placer& placer : placers()) {
    if (best.size == packing.least()) break;  // nothing can be smaller
    if (packing.cost() > most_cost && (!placer.large || packing.cost() > 20 * most_cost)) continue;
    if (!placer.quick && (effort == Effort::quick || work < packing.cost())) continue;
    packing.pack(placer.order(packing), trial, best.size);
    work -= std::min(work, packing.cost());
    if (trial.size >= best.size) continue;
    std::swap(best, trial);
    name = placer.name;
  }
  *by = name;
  if (effort == Effort::full && best.size > packing.least() && fill(packing, best, work)) *by = "filled";
  for (std::size_t i = 0; i < at.size(); ++i) storages[at[i]].offset = best.offsets[i];
  return best.size;
}

std::vector<std::size_t> live_bytes(const std::vector<Storage>& storages, std::size_t positions) {
  std::vector<std::size_t> live(positions + 2, 0);
  for (const Storage& storage : storages) {
    if (storage.kind != StorageKind::arena || storage.bytes == 0) continue;
    live[storage.first] += storage.bytes;
    live[storage.last + 1] -= storage.bytes;  // modulo: the sums come out right
  }
  std::partial_sum(live.begin(), live.end(), live.begin());
  live.pop_back();
  return live;
}

std::size_t live_peak(const std::vector<Storage>& storages, std::size_t positions, std::size_t* position) {
  const std::vector<std::size_t> live = live_bytes(storages, positions);
  const auto peak = std::ranges::max_element(live);
  if (*peak > 0) *position = static_cast<std::size_t>(peak - live.begin());
  return *peak;
}

}  // namespace weft
