// The search for what to keep: every candidate is scored by the real scheduler and memory plan. Private to autodiff/.
#pragma once

#include <weft/autodiff/remat/blocks.h>
#include <weft/autodiff/remat/clone.h>
#include <weft/autodiff/remat/graph.h>
#include <weft/runtime/memory/plan.h>

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

namespace weft::remat {

/// A choice of what to keep, scored.
struct Score {
  Saved saved;                  ///< of the values that are a choice
  std::size_t bytes = 0;        ///< Plan::total_bytes()
  double seconds = 0;           ///< predicted, of one run
  std::size_t saved_bytes = 0;  ///< kept for the backward pass
  std::size_t clones = 0;       ///< nodes that are recomputed
  std::string origin;           ///< which candidate it was
};

class Search {
 public:
  Search(const Step& step, int threads, const MachineRates& rates);

  const RematGraph& graph() const { return graph_; }
  const Blocks& blocks() const { return blocks_; }
  /// Everything kept: the step as it is.
  const Score& whole() { return score(Saved(graph_.stored.size(), true), "everything kept"); }
  const Score& score(const Saved& saved, const std::string& origin);
  /// The step of a choice as it is scored; lowered.
  Step apply(const Saved& saved, Clones* clones = nullptr) const;
  /// The same with numbers as the user gave them: lowering it gives what apply() gives.
  Step result(const Saved& saved) const;

  /// Every k-th block boundary x a share of the expensive bytes (knapsack, then minimum cut), and pure policies; those
  /// that no other beats in both bytes and time, fewest bytes first.
  std::vector<Score> front();
  /// Local search from `start`: what ops make is dropped or kept again, one op at a time (and in pairs where the graph
  /// is small), while the excess over `budget`, then the time, then the bytes fall.
  Score polish(Score start, std::size_t budget);
  /// The fastest that fits, or the smallest found.
  Score best(std::size_t budget);
  std::size_t plans() const { return plans_; }  ///< made so far

 private:
  bool is_large() const { return graph_.ops.size() > 6000; }  // fewer candidates are tried
  void add_candidates(int every);
  std::vector<int> live_at_peak(const Score& score) const;

  Step before_;
  MachineRates rates_;
  RematGraph graph_;
  Blocks blocks_;
  PlanOptions options_;
  std::unordered_map<std::vector<bool>, Score> scores_;
  std::vector<Score> front_;
  std::size_t plans_ = 0;
};

}  // namespace weft::remat
