#include <weft/nn/attention_nodes.h>

#include <weft/graph/glob.h>
#include <weft/ops/attention/attention.h>

#include <algorithm>
#include <map>

namespace weft::nn {
namespace {

std::string scope_of(const std::string& name) {
  const auto slash = name.rfind('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

}  // namespace

std::vector<AttentionNode> attention_nodes(const Graph& graph) {
  const auto is_attention = [&](NodeId id) { return graph.has(id) && graph.node(id).op == &attention_op(); };
  std::vector<AttentionNode> found;
  std::map<std::string, int> in_scope;
  for (const NodeId id : graph.ids()) {
    if (!is_attention(id) || is_attention(graph.node(id).provenance.origin)) continue;  // a copy, to be run again
    const Value y = graph.value(id);
    found.push_back({graph.node(id).name, y, y.shape().extent(2), {}});
    ++in_scope[scope_of(found.back().path)];
  }
  for (AttentionNode& node : found)
    if (const std::string scope = scope_of(node.path); in_scope[scope] == 1)
      node.path = scope.empty() ? attention_op().name : scope;
  return found;
}

namespace {

void choose(AttentionNode& node, const HeadSelection& selection, const std::string& who) {
  for (const std::int64_t head : selection.heads)
    WEFT_CHECK(head >= 0 && head < node.heads, "{}: '{}' has the heads 0 to {}, got {}", who, node.path, node.heads - 1,
               head);
  std::vector<bool> chosen(static_cast<std::size_t>(node.heads), selection.heads.empty());
  for (const std::int64_t head : node.chosen) chosen[static_cast<std::size_t>(head)] = true;
  for (const std::int64_t head : selection.heads) chosen[static_cast<std::size_t>(head)] = true;
  node.chosen.clear();
  for (std::int64_t head = 0; head < node.heads; ++head)
    if (chosen[static_cast<std::size_t>(head)]) node.chosen.push_back(head);
}

}  // namespace

std::vector<AttentionNode> attention_nodes(const Step& step, const std::string& who, const HeadSelections& selections) {
  std::vector<AttentionNode> nodes = attention_nodes(step.graph);
  WEFT_CHECK(!nodes.empty(),
             "{}: this step has no attention; hint: one by the plain method, with keep_share or a finite "
             "fill is made of basic ops, and is not seen",
             who);
  WEFT_CHECK(!selections.empty(), "{} needs a selection, got none; hint: {{{{\"**\"}}}} is every head", who);
  for (const HeadSelection& selection : selections) {
    bool matched = false;
    for (AttentionNode& node : nodes) {
      if (!matches(selection.path, node.path)) continue;
      choose(node, selection, who);
      matched = true;
    }
    WEFT_CHECK(matched, "{}: the pattern '{}' matches no attention; hint: the first of {} is '{}'", who, selection.path,
               nodes.size(), nodes.front().path);
  }
  std::erase_if(nodes, [](const AttentionNode& node) { return node.chosen.empty(); });
  return nodes;
}

GateFinder heads(HeadSelections selections) {
  return [selections = std::move(selections)](const Step& step) {
    std::vector<Gates> gates;
    for (AttentionNode& node : attention_nodes(step, "heads", selections))
      gates.push_back({std::move(node.path), node.y, 2, std::move(node.chosen)});
    return gates;
  };
}

}  // namespace weft::nn
