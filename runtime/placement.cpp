#include <weft/runtime/placement.h>
#include <weft/runtime/placers.h>

#include <algorithm>

namespace weft {

namespace {

// Pairs of blocks that a placement looks at in all, and moves of the climb at most: what bounds its time.
constexpr std::size_t most_work = 20'000'000, most_moves = 3000;

}  // namespace

std::size_t place(std::vector<Storage>& storages, Effort effort, bool climbing, std::string* by) {
  std::vector<Block> blocks;
  std::vector<std::size_t> at;
  for (std::size_t i = 0; i < storages.size(); ++i) {
    const Storage& storage = storages[i];
    if (storage.region != Region::arena || storage.bytes == 0) continue;
    blocks.push_back({storage.bytes, static_cast<int>(storage.first), static_cast<int>(storage.last)});
    at.push_back(i);
  }
  Packing packing(std::move(blocks));
  std::vector<int> best_order;
  Packed best{{}, SIZE_MAX}, trial;
  std::string_view name;
  std::size_t work = 0;
  for (const Placer& placer : placers()) {
    if (best.size == packing.least()) break;  // nothing can be smaller
    if (!placer.quick && (effort == Effort::quick || work > most_work)) continue;
    std::vector<int> order = placer.order(packing);
    packing.pack(order, trial, best.size);
    work += packing.work();
    if (trial.size >= best.size) continue;
    std::swap(best, trial);
    best_order = std::move(order);
    name = placer.name;
  }
  *by = name;
  if (effort == Effort::full && climbing && best.size > packing.least() && work < most_work) {
    const std::size_t before = best.size;
    climb(packing, best_order, best, std::min(most_moves, (most_work - work) / std::max<std::size_t>(1, packing.work())));
    if (best.size < before) *by += ", climbed";
  }
  for (std::size_t i = 0; i < at.size(); ++i) storages[at[i]].offset = best.offsets[i];
  return packing.size() == 0 ? 0 : best.size;
}

std::size_t live_peak(const std::vector<Storage>& storages, std::size_t positions, std::size_t* position) {
  std::vector<std::int64_t> change(positions + 2, 0);
  for (const Storage& storage : storages) {
    if (storage.region != Region::arena || storage.bytes == 0) continue;
    change[storage.first] += static_cast<std::int64_t>(storage.bytes);
    change[storage.last + 1] -= static_cast<std::int64_t>(storage.bytes);
  }
  std::int64_t live = 0, peak = 0;
  for (std::size_t i = 0; i < change.size(); ++i) {
    live += change[i];
    if (live > peak) {
      peak = live;
      if (position != nullptr) *position = i;
    }
  }
  return static_cast<std::size_t>(peak);
}

}  // namespace weft
