#include <weft/graph/passes/dead_code.h>
#include <weft/nn/attention_view.h>
#include <weft/ops/attention.h>

namespace weft::nn {

std::vector<AttentionView> attention_views(const std::vector<Value>& roots) {
  WEFT_CHECK(!roots.empty(), "attention_views needs a value that the attentions lead to, got none");
  Graph graph = roots.front().graph();
  for (const Value& root : roots)
    WEFT_CHECK(root.valid() && root.graph() == graph, "attention_views: the roots must be valid values of one graph");
  const std::vector<bool> needed = needed_by(graph, roots);
  std::vector<AttentionView> views;
  for (std::size_t i = 0; i < needed.size(); ++i) {
    const NodeId id = graph.ids()[i];  // asked for anew: the loop adds nodes
    if (!needed[i] || graph.node(id).op != &attention_op()) continue;
    const std::string name = graph.node(id).name;
    const auto slash = name.rfind('/');
    const auto scope = graph.scope(name, graph.node(id).where);
    const Value y = graph.value(id);
    views.push_back({slash == std::string::npos ? name : name.substr(0, slash), y, attention_weights_of(y)});
  }
  return views;
}

}  // namespace weft::nn
