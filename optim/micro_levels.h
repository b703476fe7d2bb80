// Where each value of a step can be computed when its batch is cut into micro-batches. Read by accumulate,
// accumulate_over_runs and fetch. Not in <weft/weft.h>.
#pragma once

#include <weft/graph/batch_state.h>
#include <weft/graph/step.h>

#include <cstdint>
#include <string>
#include <vector>

namespace weft {

///   before  free of the batch: once, before the micro-batches
///   micro   of each example (state split), or a sum over examples that may still grow (summed): in each micro-batch
///   after   a function of such sums (a mean loss): once, when they are complete
///   mixing  examples meet in another way: not at all
enum class Level : std::uint8_t { before, micro, after, mixing };

class MicroLevels {
 public:
  /// Of a graph that is not cut yet.
  explicit MicroLevels(const Graph& graph);

  Level level(ValueRef ref) const { return levels_[ref.node][ref.output]; }
  const BatchState& state(ValueRef ref) const { return states_[ref.node][ref.output]; }
  /// Of a mixing value: the node in which examples meet first (path, line) and how.
  const std::string& reason(ValueRef ref) const { return reasons_[causes_[ref.node]]; }
  NodeId cause(ValueRef ref) const { return causes_[ref.node]; }

 private:
  void set_levels(const Graph& graph, const Node& node);

  std::vector<std::vector<BatchState>> states_;
  std::vector<std::vector<Level>> levels_;
  std::vector<std::string> reasons_;  ///< by node, of those that mix
  std::vector<NodeId> causes_;        ///< by node: whose reason it is
};

/// What a user can do about a value in which examples meet.
inline constexpr const char* keep_apart =
    "hint: keep the examples apart until their sum (a norm over another axis, sums and their weight instead of means), "
    "or train "
    "with the whole batch at once";
/// "PATH (FILE:LINE)"
std::string place_of(const Node& node);

}  // namespace weft
