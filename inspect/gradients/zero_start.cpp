#include <weft/inspect/gradients/zero_start.h>

#include <weft/inspect/audit/blocks.h>

#include <algorithm>
#include <map>
#include <set>

namespace weft {
namespace {

// Which values are 0 as long as the parameters that start at 0 are: each with the parameter that makes it so.
class Zeros {
 public:
  explicit Zeros(const Step& step) : graph_(step.graph) {
    for (const Value& parameter : step.parameters)
      if (starts_at_zero(parameter)) zero_.emplace(parameter.ref(), parameter);
    for (const NodeId id : graph_.ids())
      if (const Value* by = zero_by(graph_.node(id)); by != nullptr) zero_.emplace(ValueRef{id, 0}, *by);
  }

  /// The parameter that keeps the node from passing anything back to operand `at`; null: it passes.
  const Value* closes(const Node& node, std::size_t at) const {
    const std::string& op = node.op->name;
    auto first_of = [&](std::initializer_list<std::size_t> factors) -> const Value* {
      for (const std::size_t factor : factors)
        if (const Value* by = factor == at ? nullptr : of(node, factor); by != nullptr) return by;
      return nullptr;
    };
    if (op == "multiply" || op == "matmul") return first_of({1 - at});
    if (op == "linear" && at < 2) return first_of({1 - at});
    if (op == "layer_norm" || op == "rms_norm") return at == 0 ? first_of({1}) : nullptr;
    // x, weight1, weight2, bias1, bias2
    if (op == "feed_forward") return at == 2 || at == 4 ? nullptr : first_of({2});
    // x, weight1, gate, weight2, biases
    if (op == "gated_feed_forward") return at == 3 || at == 6 ? nullptr : first_of({3});
    if (op == "attention") {  // q and k are factors of each other and, by the probabilities, of v
      if (at == 0) return first_of({1, 2});
      if (at == 1) return first_of({0, 2});
    }
    return nullptr;
  }

 private:
  const Value* of(const Node& node, std::size_t operand) const {
    if (operand >= node.operands.size() || node.operands[operand].node == no_node) return nullptr;
    const auto found = zero_.find(node.operands[operand]);
    return found == zero_.end() ? nullptr : &found->second;
  }
  const Value* zero_by(const Node& node) const {
    const std::string& op = node.op->name;
    const bool has_bias = op == "linear" && node.operands.size() > 2 && node.operands[2].node != no_node;
    if (op == "multiply" || op == "matmul" || (op == "linear" && (!has_bias || of(node, 2) != nullptr)))
      return of(node, 0) != nullptr ? of(node, 0) : of(node, 1);
    if (op == "divide" || op == "cast" || op == "negate" || op == "transpose" || op == "broadcast_to" || op == "sum" ||
        op == "slice" || op == "reshape" || op == "unsqueeze" || op == "squeeze")
      return of(node, 0);
    return nullptr;
  }

  const Graph& graph_;
  std::map<ValueRef, Value> zero_;
};

}  // namespace

bool starts_at_zero(const Value& parameter) {
  const Attributes& attributes = parameter.node().attributes;
  const auto kind = attributes.get_or<std::string>("init", "");
  return kind == "zeros" || (kind == "constant" && attributes.get_or<double>("init_a", 1) == 0);
}

Value zero_factor(const Step& step, NodeId node, std::size_t at) {
  const Zeros zeros(step);
  const Value* found = zeros.closes(step.graph.node(node), at);
  return found == nullptr ? Value{} : *found;
}

std::vector<Value> behind_zeros(const Step& step, const Value& parameter) {
  const Graph& graph = step.graph;
  const Zeros zeros(step);
  const NodeSet leads = leads_to_loss(step);
  std::set<NodeId> sums;
  for (const LossTerm& term : step.loss.terms) sums.insert(term.sum.ref().node);
  std::vector<Value> found;
  std::set<NodeId> seen{parameter.ref().node};
  std::vector<NodeId> open{parameter.ref().node};
  for (std::size_t i = 0; i < open.size(); ++i) {
    if (sums.contains(open[i])) return {};
    const auto outputs = static_cast<std::uint32_t>(graph.node(open[i]).types.size());
    for (std::uint32_t k = 0; k < outputs; ++k)
      for (const NodeId id : graph.users({open[i], k})) {
        if (!leads.contains(id)) continue;
        const Node& node = graph.node(id);
        for (std::size_t at = 0; at < node.operands.size(); ++at) {
          if (node.operands[at] != ValueRef{open[i], k}) continue;
          if (const Value* by = zeros.closes(node, at); by == nullptr) {
            if (seen.insert(id).second) open.push_back(id);
          } else if (std::ranges::find(found, *by) == found.end()) {
            found.push_back(*by);
          }
        }
      }
  }
  return found;
}

}  // namespace weft
