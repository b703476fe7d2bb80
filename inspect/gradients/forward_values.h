// The values of a step's forward pass between which a gradient flows. Private to inspect/.
#pragma once

#include <weft/graph/reach.h>
#include <weft/graph/step.h>

#include <string>
#include <vector>

namespace weft {

/// What tap_gradients asks about the nodes of the forward pass, by id.
class ForwardValues {
 public:
  explicit ForwardValues(const Step& step);

  /// A floating value between a trained parameter and the loss, through differentiable nodes.
  bool learns(ValueRef ref) const;
  /// It depends on what a run is fed, so it has examples.
  bool fed(NodeId id) const { return fed_.contains(id); }
  /// The nodes of such values, in build order; without parameters.
  const std::vector<NodeId>& nodes() const { return nodes_; }
  const std::string& block(NodeId id) const { return blocks_[id]; }

 private:
  Graph graph_;
  NodeSet leads_, trained_, fed_;
  std::vector<NodeId> nodes_;
  std::vector<std::string> blocks_;
};

/// The values at the rim of a block: what it reads of other blocks, and what others or the loss read of it.
struct BlockRim {
  std::string name;
  std::vector<Value> reads, gives;
};
std::vector<BlockRim> block_rims(const Step& step, const ForwardValues& forward);

/// A node's operand whose rows are the rows of its output 0.
struct Passage {
  NodeId node = no_node;
  std::size_t operand = 0;
};
/// Pointwise nodes with one operand that learns, of the output's shape, whose other operands are scalars or conditions
/// on it: activations.
std::vector<Passage> unit_passages(const Step& step, const ForwardValues& forward);
/// Operands that learn and are fed, of nodes that are not pointwise and hold no matrix of weights, whose extents are
/// the output's but for the last: softmax, attention, norms.
std::vector<Passage> row_passages(const Step& step, const ForwardValues& forward);

}  // namespace weft
