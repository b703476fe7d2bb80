#include <weft/inspect/audit/parts.h>

#include <weft/inspect/audit/blocks.h>
#include <weft/inspect/audit/edge_flow.h>

#include <boost/dynamic_bitset.hpp>

#include <algorithm>
#include <map>
#include <unordered_map>

namespace weft {
namespace {

using Bits = boost::dynamic_bitset<>;

// A sum of the loss, or read by a node that leads to one.
class Leading {
 public:
  explicit Leading(const Step& step) : nodes_(leads_to_loss(step)), outputs_(step.graph.next_id()) {
    for (const NodeId id : step.graph.ids()) {
      outputs_[id].assign(step.graph.node(id).types.size(), false);
      if (!nodes_.contains(id)) continue;
      for (const ValueRef& ref : step.graph.node(id).operands)
        if (ref.node != no_node) outputs_[ref.node][ref.output] = true;
    }
    for (const LossTerm& term : step.loss.terms)
      if (term.sum.valid()) outputs_[term.sum.ref().node][term.sum.ref().output] = true;
  }
  bool node(NodeId id) const { return nodes_.contains(id); }
  const std::vector<bool>& outputs(NodeId id) const { return outputs_[id]; }

 private:
  NodeSet nodes_;
  std::vector<std::vector<bool>> outputs_;
};

struct Why {
  Finding::Kind kind;
  const char* what;  // is cut here
  const char* hint;
};

Why why(EdgeFlow flow) {
  using Kind = Finding::Kind;
  switch (flow) {
    case EdgeFlow::on_purpose:
      return {Kind::stop_gradient, "stops the gradient on purpose",
              "take it out if the parameter is to learn through here"};
    case EdgeFlow::integer:
      return {Kind::integer, "gives whole numbers, which carry no gradient",
              "keep the value in a floating type, or weigh by a softmax instead of choosing"};
    case EdgeFlow::comparison:
      return {Kind::comparison, "gives bools, which carry no gradient", "a smooth gate such as sigmoid carries one"};
    case EdgeFlow::zero:
      return {Kind::zero_jacobian, "has a gradient of 0 whatever its operands are",
              "look at its constants and at axes of extent 1, or take the op out"};
    case EdgeFlow::no_backward:
      return {Kind::no_backward, "has neither a backward nor a plain definition", "give its OpDef .backward or .plain"};
    default:
      return {Kind::no_derivative, "has a derivative of 0 or none there",
              "a smooth op in its place carries a gradient"};
  }
}

// What each value of the forward pass carries, and where that ends.
class Walk {
 public:
  Walk(const Step& step, Audit& audit)
      : graph_(step.graph),
        audit_(audit),
        leading_(step),
        flows_(step.graph),
        trained_(step.graph.parameters()),
        carries_(graph_.next_id()),
        paths_(graph_.next_id()),
        through_(graph_.next_id()) {
    for (const LossTerm& term : step.loss.terms)
      if (term.sum.valid()) ++sums_[term.sum.ref()];
  }

  void run() {
    forwards();
    name_blocks();
    backwards();
    for (std::size_t p = 0; p < trained_.size(); ++p) {
      Audit::Row& row = audit_.parameters[p];
      const ValueRef ref = trained_[p].ref();
      row.paths = paths_of(ref);
      const Bits& through = through_[ref.node];
      for (std::size_t b = 0; b < through.size(); ++b)
        if (through[b]) row.blocks.push_back(blocks_[b]);
    }
    report();
  }

 private:
  struct Cut {
    NodeId node;
    EdgeFlow flow;
    Bits parameters;
  };

  void forwards() {
    for (std::size_t p = 0; p < trained_.size(); ++p) {
      Bits& own = carries_[trained_[p].ref().node];
      own.resize(trained_.size());
      own.set(p);
    }
    for (const NodeId id : graph_.ids()) {
      const Node& node = graph_.node(id);
      if (node.op->traits.source || !leading_.node(id)) continue;
      const bool any = std::ranges::any_of(node.operands, [&](ValueRef ref) { return carried(ref); });
      if (!any) continue;
      const std::vector<EdgeFlow>& flows = flows_.of(node, leading_.outputs(id));
      edges_.emplace(id, &flows);
      Bits result(trained_.size());
      std::map<EdgeFlow, Bits> ended;
      for (std::size_t i = 0; i < flows.size(); ++i) {
        const ValueRef ref = node.operands[i];
        if (flows[i] == EdgeFlow::absent || !carried(ref)) continue;
        if (flows[i] == EdgeFlow::flows) {
          result |= carries_[ref.node];
          continue;
        }
        ended[flows[i]].resize(trained_.size());
        ended[flows[i]] |= carries_[ref.node];
      }
      if (result.any()) carries_[id] = std::move(result);
      for (auto& [flow, parameters] : ended) cuts_.push_back({id, flow, std::move(parameters)});
    }
  }

  // In build order.
  void name_blocks() {
    for (const NodeId id : graph_.ids())
      if (edges_.contains(id)) block_at_[id] = position(block_of(graph_.node(id).name));
  }
  std::size_t position(const std::string& block) {
    const auto [at, is_new] = positions_.try_emplace(block, blocks_.size());
    if (is_new) blocks_.push_back(block);
    return at->second;
  }

  void backwards() {
    for (auto id = graph_.ids().rbegin(); id != graph_.ids().rend(); ++id) {
      const auto at = edges_.find(*id);
      if (at == edges_.end()) continue;
      const Node& node = graph_.node(*id);
      double paths = 0;
      for (std::uint32_t k = 0; k < node.types.size(); ++k)
        if (is_float(node.types[k].dtype)) paths += paths_of({*id, k});
      if (paths == 0) continue;
      Bits through = through_[*id];
      through.resize(blocks_.size());
      through.set(block_at_.at(*id));
      for (std::size_t i = 0; i < node.operands.size(); ++i) {
        const ValueRef ref = node.operands[i];
        if ((*at->second)[i] != EdgeFlow::flows || !carried(ref)) continue;
        std::vector<double>& outputs = paths_[ref.node];
        outputs.resize(graph_.node(ref.node).types.size());
        outputs[ref.output] = std::min(outputs[ref.output] + paths, Audit::most_paths);
        through_[ref.node].resize(blocks_.size());
        through_[ref.node] |= through;
      }
    }
  }

  bool carried(ValueRef ref) const {
    return ref.node != no_node && !carries_[ref.node].empty() && is_float(graph_.type(ref).dtype);
  }
  double paths_of(ValueRef ref) const {
    const std::vector<double>& outputs = paths_[ref.node];
    const auto sum = sums_.find(ref);
    return (outputs.empty() ? 0 : outputs[ref.output]) + (sum == sums_.end() ? 0 : sum->second);
  }

  void report() {
    for (const Cut& cut : cuts_) {
      const Node& node = graph_.node(cut.node);
      const Why reason = why(cut.flow);
      Finding finding{
          .kind = reason.kind, .path = node.name, .where = str(node.where), .parameters = {}, .message = {}};
      std::vector<std::string> without;  // any other path
      for (std::size_t p = 0; p < trained_.size(); ++p) {
        Audit::Row& row = audit_.parameters[p];
        if (!cut.parameters[p] || row.frozen) continue;
        row.cuts.push_back(audit_.findings.size());
        finding.parameters.push_back(row.path);
        if (row.paths == 0) without.push_back(row.path);
      }
      if (finding.parameters.empty()) continue;
      const bool meant =
          cut.flow == EdgeFlow::integer || cut.flow == EdgeFlow::comparison || cut.flow == EdgeFlow::no_derivative;
      finding.severity = !without.empty() ? Finding::Severity::error
                         : meant          ? Finding::Severity::note
                                          : Finding::Severity::warning;
      finding.message = fmt::format("[{}] {}; ", node.op->name, reason.what);
      finding.message +=
          without.empty()
              ? fmt::format("a path of {} to the loss ends here, others go on", some_of(finding.parameters))
              : fmt::format("{} {} no other path to the loss", some_of(without), without.size() == 1 ? "has" : "have");
      finding.message += fmt::format("; hint: {}", reason.hint);
      audit_.findings.push_back(std::move(finding));
    }
  }

  const Graph graph_;
  Audit& audit_;
  Leading leading_;
  EdgeFlows flows_;
  std::vector<Value> trained_;  // all parameters, in the order of the rows
  std::vector<Bits> carries_;   // by id: parameters from which a gradient could come; empty: none
  std::vector<std::vector<double>> paths_;
  std::vector<Bits> through_;  // by id: blocks on the paths from it to the loss
  std::map<ValueRef, double> sums_;
  std::map<NodeId, const std::vector<EdgeFlow>*> edges_;  // of nodes that a gradient could pass
  std::unordered_map<NodeId, std::size_t> block_at_;
  std::map<std::string, std::size_t> positions_;
  std::vector<std::string> blocks_;
  std::vector<Cut> cuts_;
};

}  // namespace

void find_paths(const Step& step, Audit& audit) { Walk(step, audit).run(); }

}  // namespace weft
