#include <weft/inspect/gradients/forward_values.h>

#include <weft/inspect/audit/blocks.h>

#include <algorithm>
#include <map>
#include <set>

namespace weft {
namespace {

bool lasts_differ_only(const Shape& a, const Shape& b) {
  if (a.rank() != b.rank() || a.rank() < 2) return false;
  for (int axis = 0; axis + 1 < a.rank(); ++axis)
    if (a.extent(axis) != b.extent(axis)) return false;
  return true;
}

bool any_float(const std::vector<TensorType>& types) {
  return std::ranges::any_of(types, [](const TensorType& type) { return is_float(type.dtype); });
}

// A scalar, or a condition on x and scalars: x > 0.
bool decided_by(const Graph& graph, ValueRef ref, ValueRef x) {
  if (ref.node == no_node || graph.type(ref).shape.count() == 1) return true;
  const Node& node = graph.node(ref.node);
  return node.op->traits.pointwise && graph.type(ref).dtype == boolean &&
         std::ranges::all_of(node.operands, [&](ValueRef operand) {
           return operand == x || operand.node == no_node || graph.type(operand).shape.count() == 1;
         });
}

}  // namespace

ForwardValues::ForwardValues(const Step& step)
    : graph_(step.graph),
      leads_(leads_to_loss(step)),
      trained_(descendants(graph_, step.parameters,
                           [&](const Node& reader, ValueRef operand) {
                             return is_float(graph_.type(operand).dtype) && any_float(reader.types) &&
                                    !reader.op->traits.cuts_gradient;
                           })),
      // A graph that is fed nothing: all is as if it were.
      fed_(descendants(graph_, graph_.inputs().empty() ? step.parameters : graph_.inputs())),
      blocks_(graph_.next_id()) {
  for (const NodeId id : graph_.ids()) {
    const Node& node = graph_.node(id);
    if (node.op->traits.source || !trained_.contains(id) || !leads_.contains(id)) continue;
    nodes_.push_back(id);
    blocks_[id] = block_of(node.name);
  }
}

bool ForwardValues::learns(ValueRef ref) const {
  return trained_.contains(ref.node) && leads_.contains(ref.node) && is_float(graph_.type(ref).dtype);
}

std::vector<BlockRim> block_rims(const Step& step, const ForwardValues& forward) {
  const Graph& graph = step.graph;
  std::vector<BlockRim> rims;
  std::map<std::string, std::size_t> at;
  std::set<std::pair<std::string, ValueRef>> read, given;
  auto rim = [&](const std::string& name) -> BlockRim& {
    const auto [found, is_new] = at.try_emplace(name, rims.size());
    if (is_new) rims.push_back({name, {}, {}});
    return rims[found->second];
  };
  auto gives = [&](ValueRef ref) {
    const std::string& block = forward.block(ref.node);
    if (given.emplace(block, ref).second) rim(block).gives.push_back(graph.value(ref));
  };
  for (const NodeId id : forward.nodes()) {
    const std::string& block = forward.block(id);
    rim(block);
    for (const ValueRef& ref : graph.node(id).operands) {
      if (!forward.learns(ref) || !forward.fed(ref.node) || graph.node(ref.node).op->traits.source) continue;
      if (forward.block(ref.node) == block) continue;
      if (read.emplace(block, ref).second) rim(block).reads.push_back(graph.value(ref));
      gives(ref);
    }
  }
  for (const LossTerm& term : step.loss.terms)
    if (forward.learns(term.sum.ref()) && !graph.node(term.sum.ref().node).op->traits.source) gives(term.sum.ref());
  return rims;
}

std::vector<Passage> unit_passages(const Step& step, const ForwardValues& forward) {
  const Graph& graph = step.graph;
  std::vector<Passage> passages;
  for (const NodeId id : forward.nodes()) {
    const Node& node = graph.node(id);
    const Traits& traits = node.op->traits;
    if (!traits.pointwise || traits.random || traits.view || !forward.fed(id)) continue;
    const auto count = std::ranges::count_if(node.operands, [&](ValueRef ref) { return forward.learns(ref); });
    if (count != 1) continue;
    const auto at = std::ranges::find_if(node.operands, [&](ValueRef ref) { return forward.learns(ref); });
    const Shape& shape = graph.type(*at).shape;
    if (shape.rank() < 2 || shape != node.types.front().shape || !forward.fed(at->node)) continue;
    // What the data or a constant masks is no dead unit.
    if (!std::ranges::all_of(node.operands, [&](ValueRef ref) { return ref == *at || decided_by(graph, ref, *at); }))
      continue;
    passages.push_back({id, static_cast<std::size_t>(at - node.operands.begin())});
  }
  return passages;
}

std::vector<Passage> row_passages(const Step& step, const ForwardValues& forward) {
  const Graph& graph = step.graph;
  std::vector<Passage> passages;
  for (const NodeId id : forward.nodes()) {
    const Node& node = graph.node(id);
    if (node.op->traits.pointwise || node.op->traits.view) continue;
    // What is multiplied by a matrix of weights comes through unless the weights are 0.
    const bool weighs = std::ranges::any_of(node.operands, [&](ValueRef ref) {
      return forward.learns(ref) && !forward.fed(ref.node) && graph.type(ref).shape.rank() >= 2;
    });
    if (weighs) continue;
    for (std::size_t i = 0; i < node.operands.size(); ++i) {
      const ValueRef ref = node.operands[i];
      if (forward.learns(ref) && forward.fed(ref.node) &&
          lasts_differ_only(graph.type(ref).shape, node.types.front().shape))
        passages.push_back({id, i});
    }
  }
  return passages;
}

}  // namespace weft
