// Which element type each operand of a graph gets under mixed precision: decided by policies and types alone, before
// any node is built. For optim/mixed_precision.cpp. Not in <weft/weft.h>.
#pragma once

#include <weft/optim/mixed_precision.h>

#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

namespace weft {

class PrecisionPlan {
 public:
  /// For the nodes of `graph` whose id `stays` holds. UserError: see mixed_precision.
  PrecisionPlan(const Graph& graph, const std::vector<bool>& stays, DType low, const MixedPrecisionOptions& options);

  /// Records that the value is read from outside (fetched, updated, a loss) and must have its declared type there.
  void keep_declared(ValueRef ref);

  /// The type in which a value is computed now.
  DType computed(ValueRef ref) const;
  /// The type that operand i of a node is to have.
  DType wanted(const Node& node, std::size_t i) const;
  /// The other types in which a value is read, with the number of operands that read it in each.
  const std::map<DType, int>& casts_of(ValueRef ref) const;

 private:
  using Types = std::vector<DType>;
  Precision policy_of(const Node& node) const;
  bool lowers(const Node& node) const;
  bool may_change(const Node& node, std::size_t i) const;  ///< whether it may be `low`
  Types declared(const Node& node) const;
  Types by_policy(const Node& node) const;
  Types promoted(const Node& node, bool scalars_count) const;
  std::optional<std::vector<TensorType>> outputs(const Node& node, const Types& types) const;
  bool loses_digits(const Node& node, const Types& types) const;
  bool accept(const Node& node, const Types& types);
  void expect_used(const MixedPrecisionOptions& options, const std::vector<bool>& stays) const;
  void mark_tail(const std::vector<bool>& stays);

  Graph graph_;
  DType low_;
  MixedPrecisionOptions options_;
  std::vector<bool> feeds_product_;  ///< by id: whether a product in `low` depends on it
  std::unordered_map<NodeId, Types> wanted_;
  std::unordered_map<ValueRef, DType> computed_;
  std::unordered_map<ValueRef, std::map<DType, int>> casts_;
};

}  // namespace weft
