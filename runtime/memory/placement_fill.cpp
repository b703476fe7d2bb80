#include <weft/runtime/memory/placers.h>
#include <weft/runtime/tensor.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace weft {
namespace {

// Fills an arena of a given size from below: of the blocks that can lie lowest, the one that matters most is laid,
// unless that would leave too little room for the others somewhere (after Moffitt 2023, "MiniMalloc: a lightweight
// memory allocator for hardware-accelerated machine learning": blocks in the order of their offsets, bounds by
// section). Where it gets stuck, what did not fit matters more the next time.
class Filling {
 public:
  explicit Filling(const Packing& packing) : packing_(packing) {
    const auto blocks = packing.blocks();
    int positions = 0;
    for (const Block& block : blocks) positions = std::max(positions, block.last + 1);
    // Sections: positions after a start and before an end, where a largest set of blocks lives.
    std::vector<char> starts(static_cast<std::size_t>(positions) + 1, 0), ends(starts.size(), 0);
    for (const Block& block : blocks)
      starts[static_cast<std::size_t>(block.first)] = ends[static_cast<std::size_t>(block.last)] = 1;
    std::vector<std::size_t> section(starts.size() + 1, 0);  // how many lie before a position
    bool grown = false;
    for (std::size_t at = 0; at < starts.size(); ++at) {
      grown |= starts[at] != 0;
      const bool here = grown && ends[at] != 0;
      if (here) grown = false;
      section[at + 1] = section[at] + (here ? 1 : 0);
    }
    sections_ = section.back();
    for (const Block& block : blocks)
      spans_.push_back(
          {section[static_cast<std::size_t>(block.first)], section[static_cast<std::size_t>(block.last) + 1]});
    total_.assign(sections_, 0);
    for (std::size_t i = 0; i < spans_.size(); ++i)
      for (std::size_t s = spans_[i].begin; s < spans_[i].end; ++s) total_[s] += blocks[i].bytes;
    meetings_begin_.push_back(0);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      packing.for_each_meeting(static_cast<int>(i), [&](int other) { meetings_.push_back(other); });
      meetings_begin_.push_back(meetings_.size());
    }
  }

  // Whether all fit into `capacity`; `weight`: what matters most, raised for what did not fit.
  bool fill(std::size_t capacity, std::vector<double>& weight, std::vector<std::size_t>& offsets) {
    const auto blocks = packing_.blocks();
    std::vector<std::size_t> left = total_, floor(sections_, 0);
    offsets.assign(blocks.size(), 0);
    std::vector<int> open(blocks.size());
    std::iota(open.begin(), open.end(), 0);
    std::ranges::stable_sort(
        open, [&](int a, int b) { return weight[static_cast<std::size_t>(a)] > weight[static_cast<std::size_t>(b)]; });
    std::vector<std::size_t> trial;
    std::vector<char> laid(blocks.size(), 0);
    while (!open.empty()) {
      // The lowest that leaves room; ties to the first, which weighs most.
      std::size_t lowest = SIZE_MAX;
      std::size_t chosen = open.size();
      for (std::size_t i = 0; i < open.size(); ++i) {
        const auto block = static_cast<std::size_t>(open[i]);
        if (offsets[block] < lowest && leaves_room(block, offsets[block], capacity, left)) {
          lowest = offsets[block];
          chosen = i;
        }
      }
      if (chosen == open.size()) {
        blame(open, offsets, capacity, left, weight);
        return false;
      }
      const auto block = static_cast<std::size_t>(open[chosen]);
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(chosen));
      laid[block] = 1;
      const std::size_t top = offsets[block] + blocks[block].bytes;
      for (std::size_t s = spans_[block].begin; s < spans_[block].end; ++s) left[s] -= blocks[block].bytes;
      for (std::size_t m = meetings_begin_[block]; m < meetings_begin_[block + 1]; ++m)
        if (const auto other = static_cast<std::size_t>(meetings_[m]); laid[other] == 0)
          offsets[other] = std::max(offsets[other], top);
    }
    return true;
  }

 private:
  struct Span {
    std::size_t begin, end;
  };

  bool leaves_room(std::size_t block, std::size_t offset, std::size_t capacity,
                   const std::vector<std::size_t>& left) const {
    for (std::size_t s = spans_[block].begin; s < spans_[block].end; ++s)
      if (offset + left[s] > capacity) return false;
    return true;
  }

  void blame(const std::vector<int>& open, const std::vector<std::size_t>& offsets, std::size_t capacity,
             const std::vector<std::size_t>& left, std::vector<double>& weight) const {
    double most = 0;
    for (double w : weight) most = std::max(most, w);
    for (int at : open) {
      const auto block = static_cast<std::size_t>(at);
      if (!leaves_room(block, offsets[block], capacity, left)) weight[block] += 0.05 * most;
    }
  }

  const Packing& packing_;
  std::size_t sections_ = 0;
  std::vector<Span> spans_;         // sections that a block lives through
  std::vector<std::size_t> total_;  // bytes by section
  std::vector<int> meetings_;
  std::vector<std::size_t> meetings_begin_;
};

constexpr int plain_starts = 4;

// What matters most at first: area, life, bytes, pressure; then products of their powers, by chance.
std::vector<double> first_weights(const Packing& packing, int start, std::mt19937& random) {
  const auto chance = [&] { return static_cast<double>(random()) / 4294967296.0; };
  const double of_bytes = chance(), of_life = 1.5 * chance(), of_pressure = 4 * chance();
  std::vector<double> weights;
  for (std::size_t i = 0; i < packing.size(); ++i) {
    const Block& block = packing.blocks()[i];
    const auto bytes = static_cast<double>(block.bytes), life = static_cast<double>(block.life());
    const auto pressure = static_cast<double>(packing.pressure()[i]);
    switch (start) {
      case 0:
        weights.push_back(bytes * life);
        break;
      case 1:
        weights.push_back(life);
        break;
      case 2:
        weights.push_back(bytes);
        break;
      case 3:
        weights.push_back(pressure + life);
        break;
      default:
        weights.push_back(std::pow(bytes, of_bytes) * std::pow(life, of_life) *
                          std::pow(pressure / static_cast<double>(packing.least()), of_pressure) *
                          (0.85 + 0.3 * chance()));
    }
  }
  return weights;
}

}  // namespace

bool fill(Packing& packing, Packed& packed, std::size_t& work) {
  const std::size_t cost = packing.size() * packing.size() / 4 + packing.work() + 1;
  if (packing.size() == 0 || cost >= work) return false;
  Filling filling(packing);
  const auto blocks = packing.blocks();
  const std::size_t least = packing.least(), before = packed.size;
  const auto is_close = [&] { return packed.size - least <= least / 512; };
  std::vector<std::size_t> offsets;
  std::mt19937 random(1);  // the same restarts every time
  for (int start = 0; !is_close() && work > cost; ++start) {
    std::vector<double> weight = first_weights(packing, start, random);
    constexpr int most_failures = 20;
    for (int failures = 0; failures < most_failures && !is_close() && work > cost; ++failures) {
      // The first starts try the least there can be; then a quarter of what is left is to be won, whole units of the
      // alignment.
      const std::size_t won = start < plain_starts && failures < 4 ? packed.size - least : (packed.size - least) / 4;
      const std::size_t capacity = packed.size - std::max<std::size_t>(alignment, won / alignment * alignment);
      work -= cost;
      if (!filling.fill(capacity, weight, offsets)) continue;
      packed.offsets = offsets;
      packed.size = 0;
      for (std::size_t i = 0; i < blocks.size(); ++i) packed.size = std::max(packed.size, offsets[i] + blocks[i].bytes);
      failures = -1;
    }
  }
  return packed.size < before;
}

}  // namespace weft
