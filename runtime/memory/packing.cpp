#include <weft/runtime/memory/packing.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace weft {

Packing::Packing(std::vector<Block> blocks) : blocks_(std::move(blocks)) {
  std::size_t positions = 0;
  for (const Block& block : blocks_) positions = std::max(positions, static_cast<std::size_t>(block.last) + 1);
  by_first_.resize(blocks_.size());
  std::iota(by_first_.begin(), by_first_.end(), 0);
  std::ranges::stable_sort(by_first_, {}, [&](int at) { return blocks_[static_cast<std::size_t>(at)].first; });
  starts_.assign(positions + 2, 0);
  std::vector<std::size_t> live(positions + 1, 0);
  for (const Block& block : blocks_) {
    ++starts_[static_cast<std::size_t>(block.first) + 1];
    live[static_cast<std::size_t>(block.first)] += block.bytes;
    live[static_cast<std::size_t>(block.last) + 1] -= block.bytes;  // modulo: the sums come out right
  }
  std::partial_sum(starts_.begin(), starts_.end(), starts_.begin());
  std::partial_sum(live.begin(), live.end(), live.begin());
  if (!live.empty()) least_ = *std::ranges::max_element(live);

  // Lists of a few times as many entries as there are blocks, however long those live.
  std::size_t lives = 0;
  for (const Block& block : blocks_) lives += static_cast<std::size_t>(block.life());
  stride_ = std::max<std::size_t>(stride_, lives / (8 * blocks_.size() + 1));
  std::vector<int> now;
  begin_.push_back(0);
  for (std::size_t at = 0; at < positions + stride_; at += stride_) {
    for (std::size_t i = starts_[at == 0 ? 0 : std::min(at - stride_ + 1, positions)];
         i < starts_[std::min(at + 1, positions)]; ++i)
      now.push_back(by_first_[i]);
    std::erase_if(
        now, [&](int block) { return static_cast<std::size_t>(blocks_[static_cast<std::size_t>(block)].last) < at; });
    crossing_.insert(crossing_.end(), now.begin(), now.end());
    begin_.push_back(crossing_.size());
  }

  // Largest sum in a range, by doubling.
  std::vector<std::vector<std::size_t>> most{live};
  for (std::size_t width = 1; 2 * width <= live.size(); width *= 2) {
    std::vector<std::size_t>& next = most.emplace_back(live.size() - 2 * width + 1);
    const std::vector<std::size_t>& last = most[most.size() - 2];
    for (std::size_t i = 0; i < next.size(); ++i) next[i] = std::max(last[i], last[i + width]);
  }
  for (const Block& block : blocks_) {
    const auto life = static_cast<std::size_t>(block.life());
    std::size_t level = 0;
    while ((std::size_t{2} << level) <= life) ++level;
    pressure_.push_back(std::max(most[level][static_cast<std::size_t>(block.first)],
                                 most[level][static_cast<std::size_t>(block.last) + 1 - (std::size_t{1} << level)]));
  }
  for (const Block& block : blocks_) {
    const auto column = static_cast<std::size_t>(block.first) / stride_;
    work_ += begin_[column + 1] - begin_[column] + starts_[static_cast<std::size_t>(block.last) + 1] -
             starts_[column * stride_ + 1];
  }
}

// Where it lies lowest in the smallest gap between those that live at [first, last], or above them.
std::size_t Packing::best_fit(std::size_t bytes, std::span<const Placed> sorted, int first, int last) const {
  std::size_t end = 0, best = 0, best_gap = SIZE_MAX;
  for (const Placed& other : sorted) {
    if (other.last < first || last < other.first) continue;
    if (other.begin > end)
      if (const std::size_t gap = other.begin - end; gap >= bytes && gap < best_gap) {
        best = end;
        best_gap = gap;
      }
    end = std::max(end, other.end);
  }
  return best_gap == SIZE_MAX ? end : best;
}

void Packing::pack(std::span<const int> order, Packed& result, std::size_t most) {
  result.offsets.assign(blocks_.size(), 0);
  result.size = 0;
  if (cost() == 4 * work_) pack_meetings(order, result, most);
  else pack_all(order, result, most);
}

// Where few live at once: those are found and sorted for each block.
void Packing::pack_meetings(std::span<const int> order, Packed& result, std::size_t most) {
  placed_.assign(blocks_.size(), 0);
  for (const int at : order) {
    const Block& block = blocks_[static_cast<std::size_t>(at)];
    taken_.clear();
    for_each_meeting(at, [&](int other) {
      const auto o = static_cast<std::size_t>(other);
      if (placed_[o] != 0)
        taken_.push_back({result.offsets[o], result.offsets[o] + blocks_[o].bytes, block.first, block.last});
    });
    std::ranges::sort(taken_, {}, &Placed::begin);
    const std::size_t offset = best_fit(block.bytes, taken_, block.first, block.last);
    result.offsets[static_cast<std::size_t>(at)] = offset;
    placed_[static_cast<std::size_t>(at)] = 1;
    result.size = std::max(result.size, offset + block.bytes);
    if (result.size > most) return;
  }
}

// Where many do: all that are placed stay sorted, and each block looks at all of them.
void Packing::pack_all(std::span<const int> order, Packed& result, std::size_t most) {
  taken_.clear();
  for (const int at : order) {
    const Block& block = blocks_[static_cast<std::size_t>(at)];
    const std::size_t offset = best_fit(block.bytes, taken_, block.first, block.last);
    taken_.insert(std::ranges::upper_bound(taken_, offset, {}, &Placed::begin),
                  {offset, offset + block.bytes, block.first, block.last});
    result.offsets[static_cast<std::size_t>(at)] = offset;
    result.size = std::max(result.size, offset + block.bytes);
    if (result.size > most) return;
  }
}

void Packing::pack_by_start(Packed& result) const {
  result.offsets.assign(blocks_.size(), 0);
  result.size = 0;
  std::vector<int> by_last = by_first_;
  std::ranges::stable_sort(by_last, {}, [&](int at) { return blocks_[static_cast<std::size_t>(at)].last; });
  std::map<std::size_t, std::size_t> gaps;                 // begin -> end, all below `top`
  std::set<std::pair<std::size_t, std::size_t>> by_bytes;  // (bytes, begin) of each
  std::size_t top = 0, ended = 0;
  const auto add = [&](std::size_t begin, std::size_t end) {
    gaps.emplace(begin, end);
    by_bytes.emplace(end - begin, begin);
  };
  const auto remove = [&](std::map<std::size_t, std::size_t>::iterator gap) {
    by_bytes.erase({gap->second - gap->first, gap->first});
    gaps.erase(gap);
  };
  const auto release = [&](std::size_t begin, std::size_t end) {
    if (const auto after = gaps.find(end); after != gaps.end()) {
      end = after->second;
      remove(after);
    }
    if (auto before = gaps.lower_bound(begin); before != gaps.begin() && (--before)->second == begin) {
      begin = before->first;
      remove(before);
    }
    if (end == top) top = begin;
    else add(begin, end);
  };
  for (const int at : by_first_) {
    const Block& block = blocks_[static_cast<std::size_t>(at)];
    for (; blocks_[static_cast<std::size_t>(by_last[ended])].last < block.first; ++ended) {
      const auto gone = static_cast<std::size_t>(by_last[ended]);
      release(result.offsets[gone], result.offsets[gone] + blocks_[gone].bytes);
    }
    std::size_t offset = top;
    if (const auto fits = by_bytes.lower_bound({block.bytes, 0}); fits != by_bytes.end()) {
      offset = fits->second;
      const std::size_t end = offset + fits->first;
      remove(gaps.find(offset));
      if (end > offset + block.bytes) add(offset + block.bytes, end);
    } else {
      top += block.bytes;
    }
    result.offsets[static_cast<std::size_t>(at)] = offset;
    result.size = std::max(result.size, offset + block.bytes);
  }
}

}  // namespace weft
