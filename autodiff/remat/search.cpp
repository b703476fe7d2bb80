#include <weft/autodiff/remat/cut.h>
#include <weft/autodiff/remat/knapsack.h>
#include <weft/autodiff/remat/search.h>

#include <algorithm>
#include <random>
#include <tuple>

namespace weft::remat {

Search::Search(const Step& step, int threads, const MachineRates& rates)
    : before_(step),
      rates_(rates),
      graph_(step, rates, Numbers::folded),
      blocks_(find_blocks(graph_)),
      // Of hundreds of plans; what is chosen is planned again, verified and with full effort.
      options_{.threads = threads, .lowering = {.verify = false}, .effort = Effort::quick} {}

Step Search::apply(const Saved& saved, Clones* clones) const {
  return with_clones(graph_, segments(graph_, blocks_.cuts, saved), saved, clones);
}

Step Search::result(const Saved& saved) const {
  const RematGraph exact(before_, rates_, Numbers::exact);
  Saved here(exact.stored.size(), true);  // what folding takes away is nobody's to compute again
  for (int s = 0; s < exact.size(); ++s) {
    const ValueRef owner = exact.at(s).owner;
    if (graph_.op_of.contains(owner.node))
      here[static_cast<std::size_t>(s)] = saved[static_cast<std::size_t>(graph_.stored_at(owner))];
  }
  return with_clones(exact, segments(exact, find_blocks(exact).cuts, here), here);
}

const Score& Search::score(const Saved& saved, const std::string& origin) {
  Saved key(saved.size());
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = saved[i] || !graph_.stored[i].choice;
  const auto [at, is_new] = scores_.try_emplace(key);
  if (!is_new) return at->second;
  ++plans_;
  Clones clones;
  const Plan planned = plan(apply(key, &clones), options_);
  Score& score = at->second;
  score = {key, planned.total_bytes(), predicted_seconds(planned, rates_), 0, clones.ops.size(), origin};
  for (std::size_t i = 0; i < key.size(); ++i)
    if (clones.used[i]) score.saved_bytes += graph_.stored[i].bytes;
  return score;
}

namespace {

// Expensive ops whose result the backward pass reads, directly or through cheap ones: what the knapsack chooses from.
// The weight of an op is what keeping it costs: its share of the values kept when no expensive op may run again.
struct Items {
  std::vector<int> ops;
  std::vector<KnapsackItem> items;
  std::size_t weight = 0;
};

Items expensive_items(const RematGraph& graph, const Saved& forced, const std::vector<bool>& expensive) {
  const Saved all = cheapest(graph, {forced, expensive});
  std::vector<double> weight(graph.ops.size(), 0);
  for (int s = 0; s < graph.size(); ++s) {
    const auto at = static_cast<std::size_t>(s);
    if (!graph.at(s).choice || forced[at] || !all[at]) continue;
    std::vector<int> open{s}, makers;
    std::vector<bool> seen(graph.stored.size(), false);
    while (!open.empty()) {
      const int value = open.back();
      open.pop_back();
      const int op = graph.at(value).op;
      if (expensive[static_cast<std::size_t>(op)]) {
        if (std::ranges::find(makers, op) == makers.end()) makers.push_back(op);
        continue;
      }
      for (int read : graph.op(op).reads)
        if (const auto r = static_cast<std::size_t>(read);
            !seen[r] && graph.at(read).choice && !forced[r] && (!all[r] || read == s)) {
          seen[r] = true;
          open.push_back(read);
        }
    }
    for (int op : makers)
      weight[static_cast<std::size_t>(op)] +=
          static_cast<double>(graph.at(s).bytes) / static_cast<double>(makers.size());
  }
  Items found;
  for (std::size_t op = 0; op < weight.size(); ++op) {
    if (weight[op] <= 0) continue;
    found.ops.push_back(static_cast<int>(op));
    std::uint32_t unread = 0;  // run again, it is run for what the backward pass reads
    for (std::size_t k = 0; k < std::min<std::size_t>(31, graph.stored_of[op].size()); ++k)
      if (!graph.at(graph.stored_of[op][k]).read_late) unread |= 1U << k;
    found.items.push_back({graph.seconds_of(static_cast<int>(op), unread), static_cast<std::size_t>(weight[op])});
    found.weight += found.items.back().weight;
  }
  return found;
}

bool fewer_bytes(const Score& a, const Score& b) {
  return std::tie(a.bytes, a.seconds, a.saved_bytes, a.saved) < std::tie(b.bytes, b.seconds, b.saved_bytes, b.saved);
}

// Closer to the budget, then faster, then smaller.
bool better(const Score& a, const Score& b, std::size_t budget) {
  const std::size_t over_a = a.bytes > budget ? a.bytes - budget : 0, over_b = b.bytes > budget ? b.bytes - budget : 0;
  return std::tie(over_a, a.seconds, a.bytes) < std::tie(over_b, b.seconds, b.bytes);
}

// What no other beats in both bytes and time.
std::vector<Score> pareto(std::vector<Score> scores) {
  std::ranges::sort(scores, fewer_bytes);
  std::vector<Score> front;
  for (Score& score : scores)
    if (front.empty() || score.seconds < front.back().seconds) front.push_back(std::move(score));
  return front;
}

}  // namespace

void Search::add_candidates(int every) {
  Saved forced(graph_.stored.size(), false);
  const std::vector<int> boundaries = every > 0 ? blocks_.every(every) : std::vector<int>{};
  for (int s : boundaries) forced[static_cast<std::size_t>(s)] = true;
  for (int s : tail(graph_, boundaries)) forced[static_cast<std::size_t>(s)] = true;
  const std::string name = every == 0   ? "no boundary"
                           : every == 1 ? "every boundary"
                                        : fmt::format("every {}. boundary", every);
  score(forced, name);

  std::vector<bool> expensive(graph_.ops.size(), false);
  for (std::size_t i = 0; i < expensive.size(); ++i)
    expensive[i] = graph_.ops[i].expensive && graph_.ops[i].recomputable;
  const Items items = expensive_items(graph_, forced, expensive);
  const int shares = is_large() ? 5 : 20;
  for (int share = 0; share <= shares; ++share) {
    const auto room = static_cast<std::size_t>(static_cast<double>(items.weight) * share / shares);
    const std::vector<bool> kept = knapsack(items.items, room);
    std::vector<bool> banned = expensive;
    for (std::size_t i = 0; i < items.ops.size(); ++i) banned[static_cast<std::size_t>(items.ops[i])] = kept[i];
    score(cheapest(graph_, {forced, banned}),
          fmt::format("{}, {} % of the expensive bytes", name, share * 100 / shares));
    if (items.ops.empty()) break;
  }
}

std::vector<Score> Search::front() {
  if (!front_.empty()) return front_;
  whole();
  score(Saved(graph_.stored.size(), false), "nothing kept");
  add_candidates(0);
  const int longest = blocks_.longest();
  for (int every = 1; every <= longest; ++every)
    // k and k + 1 that leave as many boundaries differ by little: one of them is enough.
    if (is_large() ? (every & (every - 1)) == 0 : every <= 4 || longest / every != longest / (every - 1))
      add_candidates(every);
  std::vector<Score> scores;
  for (const auto& [saved, score] : scores_) scores.push_back(score);
  return front_ = pareto(std::move(scores));
}

std::vector<int> Search::live_at_peak(const Score& score) const {
  const Plan planned = plan(apply(score.saved), options_);
  std::vector<int> live;
  for (const Storage* storage : planned.live_at(planned.peak_position)) {
    if (!graph_.op_of.contains(storage->owner.node)) continue;  // a clone, a workspace
    if (const int s = graph_.stored_at(storage->owner); graph_.at(s).choice) live.push_back(s);
  }
  return live;
}

namespace {

// Plans that a search may make: small graphs are searched more thoroughly.
std::size_t most_plans(const RematGraph& graph) {
  return std::clamp<std::size_t>(200000 / (graph.ops.size() + 1), 80, 3000);
}

// Ops whose results can be kept or dropped.
std::vector<int> movable_ops(const RematGraph& graph) {
  std::vector<int> ops;
  for (std::size_t i = 0; i < graph.ops.size(); ++i)
    if (graph.ops[i].recomputable && !graph.ops[i].writes.empty()) ops.push_back(static_cast<int>(i));
  return ops;
}

// Few enough for moves in pairs and for starts at random.
bool is_small(const std::vector<int>& movable) { return movable.size() <= 24; }

}  // namespace

Score Search::polish(Score start, std::size_t budget) {
  const std::vector<int> movable = movable_ops(graph_);
  const bool small = is_small(movable);
  const std::size_t most = plans_ + most_plans(graph_);
  const auto excess = [&](const Score& s) { return s.bytes > budget ? s.bytes - budget : 0; };
  const auto kept = [&](const Saved& saved, int op) {
    return std::ranges::all_of(graph_.op(op).writes, [&](int s) { return saved[static_cast<std::size_t>(s)]; });
  };
  const auto flipped = [&](Saved saved, int op) {
    const bool keep = !kept(saved, op);
    for (int s : graph_.op(op).writes) saved[static_cast<std::size_t>(s)] = keep;
    return saved;
  };
  const auto density = [&](int op) {  // seconds that keeping it saves for each byte
    std::size_t bytes = 1;
    for (int s : graph_.op(op).writes) bytes += graph_.at(s).bytes;
    return graph_.op(op).seconds / static_cast<double>(bytes);
  };
  const std::string origin = start.origin.ends_with("polished") ? start.origin : start.origin + ", polished";
  const auto improves = [&](const Saved& saved) {
    const Score& trial = score(saved, origin);
    if (!better(trial, start, budget)) return false;
    start = trial;
    return true;
  };
  for (bool moved = true; moved && plans_ < most;) {
    moved = false;
    std::vector<int> order = movable;
    if (excess(start) > 0 && !small) {
      order.clear();
      for (int s : live_at_peak(start)) order.push_back(graph_.at(s).op);
    } else {
      std::ranges::stable_sort(order, [&](int a, int b) { return density(a) > density(b); });
    }
    for (int op : order) {
      if (plans_ >= most) break;
      if (!small && excess(start) == 0 && kept(start.saved, op)) continue;  // dropping only makes it slower
      moved |= improves(flipped(start.saved, op));
    }
    for (std::size_t i = 0; small && !moved && i < movable.size(); ++i)  // one for another
      for (std::size_t j = 0; j < i && !moved && plans_ < most; ++j)
        moved = improves(flipped(flipped(start.saved, movable[i]), movable[j]));
  }
  return start;
}

Score Search::best(std::size_t budget) {
  const std::vector<Score> candidates = front();
  std::size_t fastest = 0;  // that fits; they are sorted by bytes, and time falls as bytes rise
  for (std::size_t i = 1; i < candidates.size() && candidates[i].bytes <= budget; ++i) fastest = i;
  Score found = polish(candidates[fastest], budget);
  const auto try_from = [&](const Score& start) {
    const Score other = polish(start, budget);
    if (better(other, found, budget)) found = other;
  };
  // A smaller one has more room to keep things again, a larger one may need little to fit.
  if (fastest > 0) try_from(candidates[fastest - 1]);
  if (fastest + 1 < candidates.size()) try_from(candidates[fastest + 1]);
  const std::vector<int> movable = movable_ops(graph_);
  if (!is_small(movable)) return found;
  for (const Score& candidate : candidates) try_from(candidate);
  std::mt19937 random(1);  // the same choice every time
  // As many starts again, twice, where none has led to a plan that fits.
  const std::size_t most = plans_ + most_plans(graph_), last = most + 2 * most_plans(graph_);
  const auto goes_on = [&](int start) {
    return found.bytes > budget ? start < 600 && plans_ < last : start < 200 && plans_ < most;
  };
  for (int start = 0; goes_on(start); ++start) {
    Saved saved(graph_.stored.size(), true);
    for (int op : movable) {
      const bool keep = random() % 2 == 0;
      for (int s : graph_.op(op).writes) saved[static_cast<std::size_t>(s)] = keep;
    }
    try_from(score(saved, "at random"));
  }
  return found;
}

}  // namespace weft::remat
