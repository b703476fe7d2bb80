// Packs blocks of bytes with live ranges into one arena. Private to runtime/.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace weft {

/// A block of bytes that is live at the positions [first, last].
struct Block {
  std::size_t bytes = 0;
  int first = 0, last = 0;
  int life() const { return last - first + 1; }
};

/// Offsets, by block, and the arena's size.
struct Packed {
  std::vector<std::size_t> offsets;
  std::size_t size = 0;
};

class Packing {
 public:
  explicit Packing(std::vector<Block> blocks);

  std::span<const Block> blocks() const { return blocks_; }
  std::size_t size() const { return blocks_.size(); }
  /// The largest sum of live bytes at any position: no arena is smaller.
  std::size_t least() const { return least_; }
  /// By block: the largest sum of live bytes in its live range.
  std::span<const std::size_t> pressure() const { return pressure_; }
  /// An upper bound on the pairs of blocks with overlapping live ranges, which for_each_meeting() of all blocks visits.
  std::size_t work() const { return work_; }
  /// What pack() costs, in pairs of blocks looked at.
  std::size_t cost() const { return std::min(4 * work_, blocks_.size() * blocks_.size() / 2 + 1); }

  /// Places the blocks in `order`, each into the smallest gap between those placed before whose live ranges overlap its
  /// own, or above them (best fit). Stops once the arena is larger than `most`; result.size is then larger too.
  void pack(std::span<const int> order, Packed& result, std::size_t most = SIZE_MAX);
  /// The same in the order of `first`, in O(n log n) for n blocks.
  void pack_by_start(Packed& result) const;
  /// Calls visit(other) for every other block whose live range overlaps that of `block`.
  template <class Visit>
  void for_each_meeting(int block, const Visit& visit) const {
    const Block& here = blocks_[static_cast<std::size_t>(block)];
    const auto column = static_cast<std::size_t>(here.first) / stride_;
    for (std::size_t i = begin_[column]; i < begin_[column + 1]; ++i)
      if (const int other = crossing_[i]; other != block && blocks_[static_cast<std::size_t>(other)].last >= here.first)
        visit(other);
    for (std::size_t i = starts_[column * stride_ + 1]; i < starts_[static_cast<std::size_t>(here.last) + 1]; ++i)
      if (const int other = by_first_[i]; other != block && blocks_[static_cast<std::size_t>(other)].last >= here.first)
        visit(other);
  }

 private:
  struct Placed {
    std::size_t begin, end;  // bytes
    int first, last;
  };
  std::size_t best_fit(std::size_t bytes, std::span<const Placed> sorted, int first, int last) const;
  void pack_meetings(std::span<const int> order, Packed& result, std::size_t most);
  void pack_all(std::span<const int> order, Packed& result, std::size_t most);

  std::vector<Block> blocks_;
  std::size_t least_ = 0, work_ = 0;
  std::vector<std::size_t> pressure_;
  std::vector<int> by_first_;        // blocks, by their first position
  std::vector<std::size_t> starts_;  // by position: where it begins in by_first_
  // Who lives at once is found from lists at every stride-th position and from those that start after it.
  std::size_t stride_ = 16;
  std::vector<int> crossing_;       // blocks that live at position 0, stride, 2 stride, ...
  std::vector<std::size_t> begin_;  // where those begin
  std::vector<Placed> taken_;       // scratch of pack()
  std::vector<char> placed_;
};

}  // namespace weft
