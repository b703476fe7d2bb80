// The attentions of a graph and their weights, for looking at (io/heat_map.h draws them).
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

/// Every attention that runs block-wise among what `roots` are made from, in build order. What gives the weights is
/// added to the graph and runs only where it is fetched. Attentions that were built as their plain definition
/// (AttentionMethod::plain, keep_share, a finite fill) are not found. UserError: no root, roots of several graphs.
std::vector<AttentionView> attention_views(const std::vector<Value>& roots);

}  // namespace weft::nn
