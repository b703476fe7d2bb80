#include <weft/runtime/packing.h>

#include <algorithm>
#include <numeric>

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

  std::vector<int> now;
  begin_.push_back(0);
  for (std::size_t at = 0; at < positions + stride; at += stride) {
    for (std::size_t i = starts_[at == 0 ? 0 : std::min(at - stride + 1, positions)]; i < starts_[std::min(at + 1, positions)]; ++i)
      now.push_back(by_first_[i]);
    std::erase_if(now, [&](int block) { return static_cast<std::size_t>(blocks_[static_cast<std::size_t>(block)].last) < at; });
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
    const auto column = static_cast<std::size_t>(block.first) / stride;
    work_ += begin_[column + 1] - begin_[column] + starts_[static_cast<std::size_t>(block.last) + 1] - starts_[column * stride + 1];
  }
}

void Packing::pack(std::span<const int> order, Packed& result, std::size_t most) {
  result.offsets.assign(blocks_.size(), 0);
  result.size = 0;
  placed_.assign(blocks_.size(), 0);
  for (const int at : order) {
    const Block& block = blocks_[static_cast<std::size_t>(at)];
    taken_.clear();
    for_each_meeting(at, [&](int other) {
      const auto o = static_cast<std::size_t>(other);
      if (placed_[o] != 0) taken_.push_back({result.offsets[o], result.offsets[o] + blocks_[o].bytes});
    });
    std::ranges::sort(taken_, {}, &Span::begin);
    std::size_t end = 0, best = 0, best_gap = SIZE_MAX;
    for (const Span& span : taken_) {
      if (span.begin > end)
        if (const std::size_t gap = span.begin - end; gap >= block.bytes && gap < best_gap) {
          best = end;
          best_gap = gap;
        }
      end = std::max(end, span.end);
    }
    result.offsets[static_cast<std::size_t>(at)] = best_gap == SIZE_MAX ? end : best;
    placed_[static_cast<std::size_t>(at)] = 1;
    result.size = std::max(result.size, result.offsets[static_cast<std::size_t>(at)] + block.bytes);
    if (result.size > most) return;
  }
}

}  // namespace weft
