#include <weft/graph/passes/fold_constants.h>

#include <weft/graph/at_batch.h>
#include <weft/graph/rewrite.h>
#include <weft/graph/sources.h>

#include <algorithm>
#include <unordered_map>

namespace weft {
namespace {

bool has_operands(const Node& node) {
  return std::ranges::any_of(node.operands, [](ValueRef ref) { return ref.node != no_node; });
}

// Contents of nodes that depend on nothing that a run brings.
class Known {
 public:
  Known(const Graph& graph, const NodeEvaluator& evaluate, std::size_t most_bytes)
      : graph_(graph), evaluate_(evaluate), most_bytes_(most_bytes) {}

  /// The outputs of `node`; null where they are not known, too large, or of a shape that changes with the batch. Asked
  /// in build order for the nodes that have operands.
  const std::vector<Constant>* outputs(const Node& node) {
    const auto [at, is_new] = known_.try_emplace(node.id);
    auto& entry = at->second;  // stays in place while the map grows
    if (is_new) entry = compute(node);
    return entry ? &*entry : nullptr;
  }

 private:
  std::optional<std::vector<Constant>> compute(const Node& node) {
    if (!small(node)) return std::nullopt;
    if (node.op == &constant_op()) return std::vector{*node.attributes.get<std::shared_ptr<const Constant>>("value")};
    const Traits& traits = node.op->traits;
    if (traits.source || traits.random || traits.per_micro_batch || !traits.recomputable) return std::nullopt;
    std::vector<const Constant*> operands;
    for (const ValueRef& ref : node.operands) {
      // An operand with operands of its own was asked for before: this goes one level deep at most.
      const std::vector<Constant>* from = ref.node == no_node ? nullptr : outputs(graph_.node(ref.node));
      if (ref.node != no_node && from == nullptr) return std::nullopt;
      operands.push_back(from == nullptr ? nullptr : &from->at(ref.output));
    }
    return evaluate_(graph_, node, operands);
  }

  bool small(const Node& node) const {
    static const Symbol batch(batch_name);
    std::size_t bytes = 0;
    for (const TensorType& type : node.types) {
      if (type.shape.has(batch)) return false;
      bytes += type.bytes();
    }
    return bytes <= most_bytes_;
  }

  const Graph& graph_;
  const NodeEvaluator& evaluate_;
  std::size_t most_bytes_;
  std::unordered_map<NodeId, std::optional<std::vector<Constant>>> known_;
};

}  // namespace

Step fold_constants(const Step& step, const NodeEvaluator& evaluate, std::size_t most_bytes) {
  const Graph& graph = step.graph;
  Rebuild rebuild(graph, std::string(fold_constants_pass));
  Known known(graph, evaluate, most_bytes);
  bool changed = false;
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    // A node without operands (a number, a count) is as good as a constant: it is run only to feed others.
    const std::vector<Constant>* outputs = has_operands(node) ? known.outputs(node) : nullptr;
    if (outputs == nullptr) {
      rebuild.keep(node);
      continue;
    }
    std::vector<Value> values;
    {
      const Scope scope = rebuild.in_place_of(node);
      for (std::size_t k = 0; k < outputs->size(); ++k) {
        WEFT_INVARIANT((*outputs)[k].type == node.types[k], "'{}' was folded to {}, expected {}", node.name,
                       (*outputs)[k].type.str(), node.types[k].str());
        Constant constant{node.types[k], (*outputs)[k].bytes};
        values.push_back(rebuild.to().constant(std::move(constant), node.where));
      }
    }
    rebuild.replace(node, values);
    changed = true;
  }
  return changed ? step.over(rebuild.finish()) : step;
}

}  // namespace weft
