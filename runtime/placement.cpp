#include <weft/runtime/placement.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace weft {
namespace {

using Order = std::function<bool(const Storage&, const Storage&)>;

std::size_t place_in(std::vector<Storage>& storages, const Order& before) {
  std::vector<Storage*> queue;
  for (Storage& storage : storages)
    if (storage.region == Region::arena && storage.bytes > 0) queue.push_back(&storage);
  std::stable_sort(queue.begin(), queue.end(), [&](const Storage* a, const Storage* b) { return before(*a, *b); });
  std::vector<const Storage*> placed;  // sorted by offset
  std::size_t size = 0;
  for (Storage* storage : queue) {
    std::size_t end = 0, best = 0, best_gap = SIZE_MAX;
    for (const Storage* other : placed) {
      if (other->last < storage->first || storage->last < other->first) continue;
      if (other->offset > end) {
        const std::size_t gap = other->offset - end;
        if (gap >= storage->bytes && gap < best_gap) {
          best = end;
          best_gap = gap;
        }
      }
      end = std::max(end, other->offset + other->bytes);
    }
    storage->offset = best_gap == SIZE_MAX ? end : best;
    size = std::max(size, storage->offset + storage->bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), storage,
                                   [](const Storage* a, const Storage* b) { return a->offset < b->offset; }),
                  storage);
  }
  return size;
}

}  // namespace

std::size_t place(std::vector<Storage>& storages) {
  auto life = [](const Storage& s) { return s.last - s.first + 1; };
  const Order orders[] = {
      [](const Storage& a, const Storage& b) { return a.bytes > b.bytes; },
      [&](const Storage& a, const Storage& b) {
        return static_cast<double>(a.bytes) * static_cast<double>(life(a)) >
               static_cast<double>(b.bytes) * static_cast<double>(life(b));
      },
      [](const Storage& a, const Storage& b) { return a.first < b.first; },
  };
  std::size_t smallest = SIZE_MAX;
  std::vector<Storage> best;
  for (const Order& order : orders) {
    std::vector<Storage> trial = storages;
    const std::size_t size = place_in(trial, order);
    if (size < smallest) {
      smallest = size;
      best = std::move(trial);
    }
  }
  storages = std::move(best);
  return smallest;
}

std::size_t live_peak(const std::vector<Storage>& storages, std::size_t positions, std::size_t* position) {
  std::vector<std::int64_t> change(positions + 2, 0);
  for (const Storage& storage : storages) {
    if (storage.region != Region::arena) continue;
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
