// Whether a gradient flows through a node to each of its operands: asked of the node's own rules, never of its name.
// Private to inspect/.
#pragma once

#include <weft/graph/graph.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace weft {

/// What becomes of a gradient between an output and an operand.
enum class EdgeFlow : std::uint8_t {
  flows,
  absent,         ///< no operand, or one that no gradient can reach (whole numbers, bools)
  on_purpose,     ///< Traits::cuts_gradient
  integer,        ///< the outputs are of whole numbers
  comparison,     ///< the outputs are bools
  no_derivative,  ///< the backward rule gives it nothing
  zero,           ///< what the backward rule gives is 0
  no_backward     ///< there is no backward rule and no plain definition
};

/// Answers by node, kept by what decides them (op, attributes, types, operands that are one value or a number), so that
/// the layers of a model are asked once.
///
/// The backward rule is built over operands of the node's types. `zero`: it is also built over small extents (the same
/// where they were 1 or equal, constants as they are) and run twice, on normal numbers and on numbers of magnitude 1e-3
/// to 1e4, with random cotangents: the gradient is 0 where every element was exactly 0. Not asked of nodes with whole
/// numbers among their operands, nor of those that refuse the small extents: they flow.
class EdgeFlows {
 public:
  explicit EdgeFlows(Graph graph) : graph_(std::move(graph)) {}

  /// By operand. `outputs`: which of the node's outputs a gradient comes from.
  const std::vector<EdgeFlow>& of(const Node& node, const std::vector<bool>& outputs);

 private:
  std::string key(const Node& node, const std::vector<bool>& outputs) const;

  Graph graph_;
  std::map<std::string, std::vector<EdgeFlow>> known_;
};

}  // namespace weft
