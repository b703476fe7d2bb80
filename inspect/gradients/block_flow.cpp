#include <weft/inspect/gradients/block_flow.h>

namespace weft {

BlockFlow::BlockFlow(const Step& step, const ForwardValues& forward) {
  const Graph& graph = step.graph;
  for (const NodeId id : forward.nodes())
    if (const std::string& name = forward.block(id); !name.empty()) indices_.try_emplace(name, indices_.size());
  const std::size_t count = indices_.size();
  std::vector<std::size_t> block(graph.next_id(), count);  // "" is none
  for (const NodeId id : forward.nodes()) block[id] = at(forward.block(id));

  made_from_.assign(count, std::vector<bool>(count, false));
  nearest_.assign(count, false);
  std::vector<std::vector<bool>> sources(graph.next_id());  // blocks that a node is made from
  for (const NodeId id : forward.nodes()) {
    std::vector<bool>& mine = sources[id] = std::vector<bool>(count, false);
    for (const ValueRef& ref : graph.node(id).operands) {
      if (!forward.learns(ref) || sources[ref.node].empty()) continue;
      for (std::size_t b = 0; b < count; ++b) mine[b] = mine[b] || sources[ref.node][b];
      if (block[ref.node] < count) mine[block[ref.node]] = true;
    }
    if (block[id] == count) continue;
    std::vector<bool>& all = made_from_[block[id]];
    for (std::size_t b = 0; b < count; ++b) all[b] = all[b] || mine[b];
  }

  std::vector<Value> sums;
  for (const LossTerm& term : step.loss.terms)
    if (forward.learns(term.sum.ref())) sums.push_back(term.sum);
  const NodeSet before_blocks = ancestors(graph, sums, [&](const Node& reader, ValueRef operand) {
    return block[reader.id] == count && forward.learns(operand);
  });
  for (const NodeId id : forward.nodes())
    if (block[id] < count && before_blocks.contains(id)) nearest_[block[id]] = true;
}

std::size_t BlockFlow::at(const std::string& block) const {
  const auto found = indices_.find(block);
  return found == indices_.end() ? indices_.size() : found->second;
}

bool BlockFlow::comes_through(const std::string& other, const std::string& block) const {
  const std::size_t a = at(other), b = at(block);
  return a < indices_.size() && b < indices_.size() && a != b && made_from_[b][a];
}

bool BlockFlow::nearest_to_loss(const std::string& block) const {
  const std::size_t b = at(block);
  return b < indices_.size() && nearest_[b];
}

}  // namespace weft
