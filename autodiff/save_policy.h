// Rules that say which values of the forward pass are kept for the backward pass: jax.checkpoint_policies, by their
// names there. What is not kept is recomputed.
#pragma once

#include <weft/graph/graph.h>

#include <functional>
#include <string>
#include <vector>

namespace weft {

/// What a policy sees of a node of the forward pass.
struct PolicyNode {
  const Graph& graph;
  const Node& node;
  std::size_t bytes = 0;      ///< of all its outputs
  Cost cost = {};             ///< of recomputing it
  bool expensive = false;     ///< Traits::cheap is false
  bool product = false;       ///< expensive and not pointwise: a matrix product, attention
  bool reads_weight = false;  ///< an operand does not depend on the step's inputs: a parameter, or made from some
};

struct SavePolicy {
  std::string name;
  std::function<bool(const PolicyNode&)> saves;
  std::vector<std::string> globs = {};  ///< over node paths: each must match a value of the forward pass
};

/// Keeps nothing: the whole forward pass is recomputed. The fewest saved bytes, but not the lowest peak.
SavePolicy nothing_saveable();
/// Keeps everything: nothing is recomputed.
SavePolicy everything_saveable();
/// Keeps the results of matrix products and of attention.
SavePolicy dots_saveable();
/// Keeps the results of products with weights, not of products of activations (attention scores and the like), which
/// grow with the square of the sequence.
SavePolicy dots_with_no_batch_dims_saveable();
/// Keeps what matches one of the globs over node paths ("decoder/*/feed_forward/**"). A glob that matches nothing is an
/// error when the policy is applied.
SavePolicy save_only_these_names(std::vector<std::string> globs);

}  // namespace weft
