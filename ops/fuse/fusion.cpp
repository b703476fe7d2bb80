#include <weft/ops/fuse/fusion.h>

#include <map>

namespace weft {

Readers::Readers(const Step& step) : graph_(step.graph), position_(step.graph.next_id()) {
  std::size_t position = 0;
  for (const NodeId id : graph_.ids()) position_[id] = position++;
  for (const Value& root : step.roots())
    if (root.valid()) roots_.insert(root.ref());
}

bool Readers::one(ValueRef ref) const { return !root(ref) && graph_.users(ref).size() == 1; }

Step change_nodes(const Step& step, const std::string& pass,
                  const std::function<std::optional<Change>(const Graph&, const Readers&, const Node&)>& change) {
  const Readers readers(step);
  std::map<NodeId, Node> changed;
  std::map<NodeId, NodeId> instead;  // by the node that goes: whose output 0 is read
  std::set<NodeId> gone;
  for (const NodeId id : step.graph.ids())
    if (std::optional<Change> found = change(step.graph, readers, step.graph.node(id))) {
      if (found->node.id != id) instead.emplace(id, found->node.id);
      changed.emplace(found->node.id, std::move(found->node));
      gone.insert(found->taken_over.begin(), found->taken_over.end());
    }
  if (changed.empty()) return step;

  Rebuild rebuild(step.graph, pass);
  for (const NodeId id : step.graph.ids()) {
    const auto at = changed.find(id);
    if (const auto other = instead.find(id); other != instead.end()) {
      rebuild.replace(step.graph.node(id), {rebuild.map({other->second, 0})});
    } else if (gone.contains(id)) {
      rebuild.drop(step.graph.node(id));
    } else if (at == changed.end()) {
      rebuild.keep(step.graph.node(id));
    } else {
      Node& node = at->second;
      node.operands = rebuild.operands(node);
      rebuild.keep_as(std::move(node));
    }
  }
  return step.over(rebuild.finish());
}

}  // namespace weft
