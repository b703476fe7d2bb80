#include <weft/runtime/memory/schedulers.h>

#include <algorithm>
#include <bit>

namespace weft {
namespace {

constexpr std::size_t most_groups = 10;

// The best order of up to ten groups of neighbours. What lives after a set of groups does not depend on their order, so
// the least peak to reach a set is found from the sets with one group less.
class Window {
 public:
  // `liveness` stands before order[begin].
  Window(Flow& flow, std::vector<int>& order, std::size_t begin, std::size_t end, std::size_t step)
      : flow_(flow), order_(order), begin_(begin) {
    for (std::size_t at = begin; at < end; at += step) groups_.push_back({at, std::min(end, at + step)});
  }

  // Whether an order with all peaks below `peak` was found, and is now the order. `work` is lowered.
  bool search(std::size_t peak, std::size_t& work) {
    find_needs();
    const std::size_t sets = std::size_t{1} << groups_.size();
    least_.assign(sets, SIZE_MAX);
    last_.assign(sets, -1);
    least_[0] = 0;
    for (std::size_t set = 0; set + 1 < sets; ++set) {
      if (least_[set] == SIZE_MAX || work == 0) continue;
      stand_at(set, work);
      for (std::size_t g = 0; g < groups_.size(); ++g) {
        const std::size_t bit = std::size_t{1} << g;
        if ((set & bit) != 0 || (needs_[g] & ~set) != 0) continue;
        const std::size_t most = std::max(least_[set], run(g, work));
        back(g);
        if (most < peak && most < least_[set | bit]) {
          least_[set | bit] = most;
          last_[set | bit] = static_cast<int>(g);
        }
      }
      leave(set);
    }
    if (least_[sets - 1] == SIZE_MAX) return false;
    std::vector<std::size_t> sequence;
    for (std::size_t set = sets - 1; set != 0; set &= ~(std::size_t{1} << sequence.back()))
      sequence.push_back(static_cast<std::size_t>(last_[set]));
    std::vector<int> nodes;
    for (auto g = sequence.rbegin(); g != sequence.rend(); ++g)
      for (std::size_t i = groups_[*g].begin; i < groups_[*g].end; ++i) nodes.push_back(order_[i]);
    std::ranges::copy(nodes, order_.begin() + static_cast<std::ptrdiff_t>(begin_));
    return true;
  }

 private:
  struct Group {
    std::size_t begin, end;  // in the order
  };

  void find_needs() {
    group_of_.assign(flow_.nodes.size(), -1);
    for (std::size_t g = 0; g < groups_.size(); ++g)
      for (std::size_t i = groups_[g].begin; i < groups_[g].end; ++i)
        group_of_[static_cast<std::size_t>(order_[i])] = static_cast<int>(g);
    needs_.assign(groups_.size(), 0);
    for (std::size_t g = 0; g < groups_.size(); ++g)
      for (std::size_t i = groups_[g].begin; i < groups_[g].end; ++i)
        for (int operand : flow_.before[static_cast<std::size_t>(order_[i])])
          if (const int other = group_of_[static_cast<std::size_t>(operand)];
              other >= 0 && other != static_cast<int>(g))
            needs_[g] |= std::size_t{1} << other;
  }
  std::size_t run(std::size_t g, std::size_t& work) {
    std::size_t peak = 0;
    for (std::size_t i = groups_[g].begin; i < groups_[g].end; ++i)
      peak = std::max(peak, flow_.liveness.run(order_[i]));
    work -= std::min(work, groups_[g].end - groups_[g].begin);
    return peak;
  }
  void back(std::size_t g) {
    for (std::size_t i = groups_[g].end; i > groups_[g].begin; --i) flow_.liveness.undo(order_[i - 1]);
  }
  // Groups were numbered in a topological order, so they can run in that of their numbers.
  void stand_at(std::size_t set, std::size_t& work) {
    for (std::size_t g = 0; g < groups_.size(); ++g)
      if ((set >> g & 1) != 0) run(g, work);
  }
  void leave(std::size_t set) {
    for (std::size_t g = groups_.size(); g > 0; --g)
      if ((set >> (g - 1) & 1) != 0) back(g - 1);
  }

  Flow& flow_;
  std::vector<int>& order_;
  std::size_t begin_;
  std::vector<Group> groups_;
  std::vector<int> group_of_;
  std::vector<std::size_t> needs_, least_;
  std::vector<int> last_;
};

}  // namespace

std::vector<Order> improve_windows(Flow& flow, Order order, std::size_t work) {
  const std::size_t size = order.nodes.size();
  std::size_t before = order.peak;
  std::vector<Order> found;
  order.by += ", windows";
  order.quick = false;
  std::vector<std::size_t> live;
  bool fell = true;
  while (fell && work > size) {
    fell = false;
    order.peak = peak_of(flow, order.nodes, &live);
    work -= size;
    if (order.peak + before / 100 < before) {
      found.push_back(order);
      before = order.peak;
    }
    // Every place where as many bytes live has to fall.
    for (std::size_t at = 0; at < size; ++at) {
      if (live[at] != order.peak) continue;
      fell = false;
      for (std::size_t step = 1; !fell && step * 2 <= size && work > size; step *= 2)
        for (const std::size_t ahead : {most_groups / 2, most_groups - 2, std::size_t{1}}) {
          const Phase phase = flow.liveness.phase(order.nodes[at]);
          std::size_t begin = at - std::min(at, ahead * step), end = std::min(size, begin + most_groups * step);
          while (flow.liveness.phase(order.nodes[begin]) != phase) ++begin;
          while (flow.liveness.phase(order.nodes[end - 1]) != phase) --end;
          if (work <= size) break;
          flow.liveness.reset();
          for (std::size_t i = 0; i < begin; ++i) flow.liveness.run(order.nodes[i]);
          work -= begin;
          flow.liveness.enter(phase);
          fell = Window(flow, order.nodes, begin, end, step).search(order.peak, work);
          if (fell) break;
        }
      if (!fell) break;
      peak_of(flow, order.nodes, &live);
      work -= std::min(work, size);
    }
  }
  order.peak = peak_of(flow, order.nodes);
  if (order.peak < before) found.push_back(std::move(order));
  return found;
}

}  // namespace weft
