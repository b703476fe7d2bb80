#include <weft/runtime/placers.h>

#include <algorithm>

namespace weft {
namespace {

// A fixed sequence (Steele & Vigna 2021, "Computationally easy, spectrally good multipliers").
class Sequence {
 public:
  std::size_t below(std::size_t n) {
    state_ = state_ * 0xd1342543de82ef95U + 1;
    return static_cast<std::size_t>((state_ >> 33) % n);
  }

 private:
  std::uint64_t state_ = 1;
};

}  // namespace

void climb(Packing& packing, std::vector<int>& order, Packed& packed, std::size_t moves) {
  Sequence sequence;
  std::vector<int> now = order, trial;
  Packed here = packed, result;
  std::vector<std::size_t> rank(order.size());
  std::vector<int> top, ahead;
  for (; moves > 0 && packed.size > packing.least(); --moves) {
    top.clear();
    for (std::size_t i = 0; i < now.size(); ++i) {
      rank[static_cast<std::size_t>(now[i])] = i;
      if (here.offsets[i] + packing.blocks()[i].bytes == here.size) top.push_back(static_cast<int>(i));
    }
    // One at the top, or one below it: what is moved ahead of a block that it lives with.
    int block = top[sequence.below(top.size())];
    for (std::size_t down = sequence.below(3); down > 0; --down) {
      ahead.clear();
      packing.for_each_meeting(block, [&](int other) {
        if (here.offsets[static_cast<std::size_t>(other)] < here.offsets[static_cast<std::size_t>(block)]) ahead.push_back(other);
      });
      if (!ahead.empty()) block = ahead[sequence.below(ahead.size())];
    }
    ahead.clear();
    packing.for_each_meeting(block, [&](int other) {
      if (rank[static_cast<std::size_t>(other)] < rank[static_cast<std::size_t>(block)]) ahead.push_back(other);
    });
    if (ahead.empty()) continue;
    const std::size_t to = rank[static_cast<std::size_t>(ahead[sequence.below(ahead.size())])];
    trial = now;
    const std::size_t from = rank[static_cast<std::size_t>(block)];
    std::rotate(trial.begin() + static_cast<std::ptrdiff_t>(to), trial.begin() + static_cast<std::ptrdiff_t>(from),
                trial.begin() + static_cast<std::ptrdiff_t>(from) + 1);
    packing.pack(trial, result, here.size);
    if (result.size > here.size) continue;
    std::swap(now, trial);
    std::swap(here, result);
    if (here.size < packed.size) {
      packed = here;
      order = now;
    }
  }
}

}  // namespace weft
