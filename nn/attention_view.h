// Finds the attentions of a graph and their weights, to be plotted (io/heat_map.h).
//
//   std::vector<nn::AttentionView> views = nn::attention_views({logits});
//   Program look(inference({views[0].weights}), store);
#pragma once

#include <weft/graph/graph.h>

#include <string>
#include <vector>

namespace weft::nn {

struct AttentionView {
  std::string path;  ///< of the module: "decoder/0/attention"; as AttentionNode::path
  Value y;           ///< [batch, time_q, heads, value_width]
  Value weights;     ///< softmax(s) [batch, heads, time_q, time_k] before dropout
};

/// Every block-wise attention that `roots` depend on, in build order. The nodes that compute the weights are added to
/// the graph and run only if they are fetched. Attentions that were built as their plain definition
/// (AttentionMethod::plain, keep_share, a finite fill) are not found. UserError: no root, roots of several graphs.
std::vector<AttentionView> attention_views(const std::vector<Value>& roots);

}  // namespace weft::nn
