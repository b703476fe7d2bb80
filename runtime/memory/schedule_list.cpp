#include <weft/runtime/memory/schedulers.h>

#include <algorithm>
#include <queue>
#include <tuple>

namespace weft {
namespace {

// Ready nodes, the smallest (phase, key, position) first. A node whose key changes is put in again; what is outdated
// is skipped when it comes up.
class Ready {
 public:
  using Entry = std::tuple<int, std::int64_t, int>;

  explicit Ready(std::size_t nodes) : key_(nodes, 0), inside_(nodes, 0) {}
  bool has(int at) const { return inside_[static_cast<std::size_t>(at)] != 0; }
  void put(int phase, std::int64_t key, int at) {
    const auto i = static_cast<std::size_t>(at);
    if (has(at) && key_[i] == key) return;
    key_[i] = key;
    inside_[i] = 1;
    heap_.emplace(phase, key, at);
  }
  // -1: none is left
  int take() {
    while (!heap_.empty()) {
      const auto [phase, key, at] = heap_.top();
      heap_.pop();
      if (!has(at) || key_[static_cast<std::size_t>(at)] != key) continue;
      inside_[static_cast<std::size_t>(at)] = 0;
      return at;
    }
    return -1;
  }

 private:
  std::vector<std::int64_t> key_;
  std::vector<char> inside_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> heap_;
};

int rank(Phase phase) { return static_cast<int>(phase); }

}  // namespace

Order list_order(Flow& flow, Prefer prefer) {
  Liveness& liveness = flow.liveness;
  liveness.reset();
  const std::size_t size = flow.nodes.size();
  std::vector<std::size_t> waits(size);
  std::vector<int> changed;
  Ready ready(size);
  const auto put = [&](int at) {
    const std::int64_t growth = prefer == Prefer::built ? 0 : liveness.growth(at);
    ready.put(rank(liveness.phase(at)), prefer == Prefer::shrinking ? std::min<std::int64_t>(growth, 0) : growth, at);
  };
  for (std::size_t i = 0; i < size; ++i)
    if ((waits[i] = flow.before[i].size()) == 0) put(static_cast<int>(i));
  Order order{.by = prefer == Prefer::built ? "build order" : prefer == Prefer::shrinking ? "shrinking" : "bytes"};
  order.nodes.reserve(size);
  for (int at = ready.take(); at >= 0; at = ready.take()) {
    order.nodes.push_back(at);
    changed.clear();
    order.peak = std::max(order.peak, liveness.run(at, prefer == Prefer::built ? nullptr : &changed));
    for (int other : changed)
      if (ready.has(other)) put(other);
    for (int next : flow.after[static_cast<std::size_t>(at)])
      if (--waits[static_cast<std::size_t>(next)] == 0) put(next);
  }
  WEFT_INVARIANT(order.nodes.size() == size, "a cycle among {} nodes of a step", size - order.nodes.size());
  return order;
}

Order reverse_order(Flow& flow) {
  const Liveness& liveness = flow.liveness;
  const std::size_t size = flow.nodes.size();
  std::vector<char> live(liveness.bases(), 0);
  std::vector<std::vector<int>> readers(liveness.bases());
  for (std::size_t i = 0; i < size; ++i)
    for (int read : liveness.reads(static_cast<int>(i)))
      readers[static_cast<std::size_t>(read)].push_back(static_cast<int>(i));
  for (std::size_t base = 0; base < live.size(); ++base) live[base] = liveness.kept(static_cast<int>(base)) ? 1 : 0;
  std::vector<std::size_t> waits(size);
  Ready ready(size);
  const auto put = [&](int at) {
    std::int64_t growth = 0;
    for (int read : liveness.reads(at))
      if (live[static_cast<std::size_t>(read)] == 0) growth += static_cast<std::int64_t>(liveness.bytes(read));
    for (int write : liveness.writes(at))
      if (live[static_cast<std::size_t>(write)] != 0) growth -= static_cast<std::int64_t>(liveness.bytes(write));
    // Positions count from the end, so that ties go to the last built.
    ready.put(-rank(liveness.phase(at)), growth, static_cast<int>(size) - 1 - at);
  };
  const auto mirrored = [&](int at) { return static_cast<int>(size) - 1 - at; };
  for (std::size_t i = 0; i < size; ++i)
    if ((waits[i] = flow.after[i].size()) == 0) put(static_cast<int>(i));
  Order order{.by = "reverse"};
  order.nodes.reserve(size);
  for (int taken = ready.take(); taken >= 0; taken = ready.take()) {
    const int at = mirrored(taken);
    order.nodes.push_back(at);
    for (int write : liveness.writes(at)) live[static_cast<std::size_t>(write)] = 0;
    for (int read : liveness.reads(at)) {
      if (live[static_cast<std::size_t>(read)] != 0) continue;
      live[static_cast<std::size_t>(read)] = 1;
      for (int other : readers[static_cast<std::size_t>(read)])
        if (ready.has(mirrored(other))) put(other);
    }
    for (int next : flow.before[static_cast<std::size_t>(at)])
      if (--waits[static_cast<std::size_t>(next)] == 0) put(next);
  }
  std::ranges::reverse(order.nodes);
  order.peak = peak_of(flow, order.nodes);
  return order;
}

}  // namespace weft
