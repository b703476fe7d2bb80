// When each value of a step can be computed once its batch is cut into micro-batches: for accumulate,
// accumulate_over_runs and fetch.
#pragma once

#include <weft/graph/batch_state.h>
#include <weft/graph/step.h>

#include <optional>
#include <string>
#include <vector>

namespace weft {

/// The earliest phase of a value:
///   before  does not depend on the batch
///   micro   of each example (state split), or a sum over examples that may still grow (summed)
///   after   a function of such sums (a mean loss)
///   none    mixes examples in another form, and has no value in a step of micro-batches
class MicroPhases {
 public:
  /// Of a graph that is not yet cut into micro-batches.
  explicit MicroPhases(const Graph& graph);

  std::optional<Phase> of(ValueRef ref) const { return phases_[ref.node][ref.output]; }
  bool mixes(ValueRef ref) const { return !of(ref).has_value(); }
  const BatchState& state(ValueRef ref) const { return states_[ref.node][ref.output]; }
  /// For a mixing value: the first node that mixes examples (path, line), and how.
  const std::string& reason(ValueRef ref) const { return reasons_[causes_[ref.node]]; }
  NodeId cause(ValueRef ref) const { return causes_[ref.node]; }

 private:
  void set_phases(const Graph& graph, const Node& node);

  std::vector<std::vector<BatchState>> states_;
  std::vector<std::vector<std::optional<Phase>>> phases_;
  std::vector<std::string> reasons_;  ///< by id: of nodes that mix examples
  std::vector<NodeId> causes_;        ///< by id: the node whose reason applies
};

/// The hint for a value that mixes examples.
inline constexpr const char* keep_apart =
    "hint: keep the examples apart until their sum (a norm over another axis, sums and their weight instead of means), "
    "or train "
    "with the whole batch at once";
/// "PATH (FILE:LINE)"
std::string place_of(const Node& node);

}  // namespace weft
