#include <weft/inspect/gradients/zero_start.h>

#include <weft/inspect/audit/blocks.h>

#include <algorithm>
#include <map>
#include <set>

namespace weft {
namespace {

// Which values are 0 as long as the parameters that start at 0 are: each with the parameter that makes it so. What an
// op is linear in is what it declares (OpDef::terms).
class Zeros {
 public:
  explicit Zeros(const Step& step) : graph_(step.graph), leads_(leads_to_loss(step)) {
    for (const Value& parameter : step.parameters)
      if (starts_at_zero(parameter)) zero_.emplace(parameter.ref(), parameter);
    for (const LossTerm& term : step.loss.terms) sums_.insert(term.sum.ref());
    for (const NodeId id : graph_.ids()) {
      const Node& node = graph_.node(id);
      if (node.op->traits.source) continue;
      const std::vector<Term> terms = terms_of(graph_.view(node)->view);
      for (std::uint32_t k = 0; k < node.types.size(); ++k)
        if (const Value* by = zero_by(node, terms, k); by != nullptr) zero_.emplace(ValueRef{id, k}, *by);
    }
  }

  /// The parameter that keeps the node from passing anything back to operand `at`; null: it passes.
  const Value* closes(const Node& node, std::size_t at) const {
    const std::vector<Term> terms = terms_of(graph_.view(node)->view);
    const int operand = static_cast<int>(at);
    const Value* found = nullptr;
    for (std::uint32_t k = 0; k < node.types.size(); ++k) {
      if (!is_read({node.id, k})) continue;
      bool known = false;
      for (const Term& term : terms) {
        if (term.output != static_cast<int>(k)) continue;
        known = true;
        for (const std::vector<int>& product : term.inner) {
          if (!contains(product, operand)) continue;
          const Value* by = other_of(node, product, operand);
          if (by == nullptr) by = other_of(node, term.factors, operand);
          if (by == nullptr) return nullptr;
          found = found == nullptr ? by : found;
        }
        if (!contains(term.factors, operand)) continue;
        const Value* by = other_of(node, term.factors, operand);
        if (by == nullptr) return nullptr;
        found = found == nullptr ? by : found;
      }
      if (!known) return nullptr;
    }
    return found;
  }

 private:
  static bool contains(const std::vector<int>& operands, int i) {
    return std::ranges::find(operands, i) != operands.end();
  }

  // Whether the loss is made from this output.
  bool is_read(ValueRef ref) const {
    return sums_.contains(ref) ||
           std::ranges::any_of(graph_.users(ref), [&](NodeId id) { return leads_.contains(id); });
  }
  const Value* of(const Node& node, int operand) const {
    const auto found = zero_.find(node.operands[static_cast<std::size_t>(operand)]);
    return found == zero_.end() ? nullptr : &found->second;
  }
  /// What makes one of the factors, besides `operand`, 0.
  const Value* other_of(const Node& node, const std::vector<int>& factors, int operand) const {
    for (const int factor : factors)
      if (const Value* by = factor == operand ? nullptr : of(node, factor); by != nullptr) return by;
    return nullptr;
  }
  // Each term of the output has a factor that is 0.
  const Value* zero_by(const Node& node, const std::vector<Term>& terms, std::uint32_t k) const {
    const Value* found = nullptr;
    for (const Term& term : terms) {
      if (term.output != static_cast<int>(k)) continue;
      const Value* by = other_of(node, term.factors, -1);
      if (by == nullptr) return nullptr;
      found = found == nullptr ? by : found;
    }
    return found;
  }

  const Graph& graph_;
  const NodeSet leads_;
  std::set<ValueRef> sums_;
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
