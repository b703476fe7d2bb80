#include <weft/runtime/placement.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace weft {
namespace {

// A storage of the arena: what placement looks at, side by side in memory.
struct Block {
  std::size_t first, last, bytes, offset, storage;
};

using Order = std::function<bool(const Block&, const Block&)>;

std::size_t place_in(std::vector<Block>& blocks, const Order& before) {
  std::stable_sort(blocks.begin(), blocks.end(), before);
  std::vector<Block> placed;  // sorted by offset
  placed.reserve(blocks.size());
  std::size_t size = 0;
  for (Block& block : blocks) {
    std::size_t end = 0, best = 0, best_gap = SIZE_MAX;
    for (const Block& other : placed) {
      if (other.last < block.first || block.last < other.first) continue;
      if (other.offset > end) {
        const std::size_t gap = other.offset - end;
        if (gap >= block.bytes && gap < best_gap) {
          best = end;
          best_gap = gap;
        }
      }
      end = std::max(end, other.offset + other.bytes);
    }
    block.offset = best_gap == SIZE_MAX ? end : best;
    size = std::max(size, block.offset + block.bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), block,
                                   [](const Block& a, const Block& b) { return a.offset < b.offset; }),
                  block);
  }
  return size;
}

}  // namespace

std::size_t place(std::vector<Storage>& storages) {
  std::vector<Block> blocks;
  std::size_t positions = 0;
  for (std::size_t i = 0; i < storages.size(); ++i) {
    const Storage& storage = storages[i];
    if (storage.region != Region::arena || storage.bytes == 0) continue;
    blocks.push_back({storage.first, storage.last, storage.bytes, 0, i});
    positions = std::max(positions, storage.last + 1);
  }
  auto life = [](const Block& block) { return block.last - block.first + 1; };
  const Order orders[] = {
      [](const Block& a, const Block& b) { return a.bytes > b.bytes; },
      [&](const Block& a, const Block& b) {
        return static_cast<double>(a.bytes) * static_cast<double>(life(a)) >
               static_cast<double>(b.bytes) * static_cast<double>(life(b));
      },
      [](const Block& a, const Block& b) { return a.first < b.first; },
  };
  const std::size_t least = live_peak(storages, positions, nullptr);
  std::size_t smallest = SIZE_MAX;
  std::vector<Block> best;
  for (const Order& order : orders) {
    std::vector<Block> trial = blocks;
    const std::size_t size = place_in(trial, order);
    if (size < smallest) {
      smallest = size;
      best = std::move(trial);
    }
    if (smallest == least) break;  // nothing can be smaller
  }
  for (const Block& block : best) storages[block.storage].offset = block.offset;
  return smallest;
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
