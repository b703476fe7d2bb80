#include <weft/nn/attention_view.h>

#include <weft/graph/reach.h>
#include <weft/nn/attention_nodes.h>
#include <weft/ops/attention/attention.h>

namespace weft::nn {

std::vector<AttentionView> attention_views(const std::vector<Value>& roots) {
  WEFT_CHECK(!roots.empty(), "attention_views needs a value that the attentions lead to, got none");
  Graph graph = roots.front().graph();
  for (const Value& root : roots)
    WEFT_CHECK(root.valid() && root.graph() == graph, "attention_views: the roots must be valid values of one graph");
  const NodeSet needed = ancestors(graph, roots);
  std::vector<AttentionView> views;
  for (const AttentionNode& node : attention_nodes(graph)) {
    if (!needed.contains(node.y.ref().node)) continue;
    const auto scope = graph.scope(node.y.name(), node.y.node().where);
    views.push_back({node.path, node.y, attention_weights_of(node.y)});
  }
  return views;
}

}  // namespace weft::nn
