#include <weft/graph/sources.h>
#include <weft/optim/audit.h>

#include <algorithm>
#include <map>
#include <ostream>
#include <set>

namespace weft {
namespace {

// Nodes from which the loss can be reached, by values of any type.
std::set<NodeId> ancestors(const Step& step) {
  std::set<NodeId> seen;
  std::vector<NodeId> open;
  for (const LossTerm& term : step.loss.terms)
    if (seen.insert(term.sum.ref().node).second) open.push_back(term.sum.ref().node);
  while (!open.empty()) {
    const Node& node = step.graph.node(open.back());
    open.pop_back();
    for (ValueRef ref : node.operands)
      if (ref.node != no_node && seen.insert(ref.node).second) open.push_back(ref.node);
  }
  return seen;
}

// Follows a parameter that has no gradient towards the loss: the first node on the way whose outputs carry none.
std::string find_cut(const Step& step, const std::set<NodeId>& needed, const Value& parameter) {
  const Graph& graph = step.graph;
  if (!needed.contains(parameter.ref().node)) return "the loss does not use it";
  // Among the nodes that use it and lead to the loss, the last that the gradient would have had to cross.
  std::set<NodeId> carries{parameter.ref().node};
  std::string cut;
  for (NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (!needed.contains(id) || node.provenance.pass == "gradient") continue;
    const bool reads = std::ranges::any_of(node.operands, [&](ValueRef ref) { return carries.contains(ref.node); });
    if (!reads) continue;
    const bool is_smooth = std::ranges::any_of(node.types, [](const TensorType& type) { return is_float(type.dtype); });
    const bool lets_through = is_smooth && (node.op->backward || node.op->plain) && !node.op->traits.cuts_gradient;
    if (lets_through) carries.insert(id);
    else cut += fmt::format("{}cut at {} ({})", cut.empty() ? "" : "; ", node.name, str(node.where));
  }
  return cut.empty() ? "no gradient reaches it" : cut;
}

}  // namespace

Audit audit(const Step& step) {
  Audit result;
  const std::set<NodeId> needed = ancestors(step);
  for (const Value& parameter : step.graph.parameters()) {
    Audit::Row row{parameter.node().name, parameter.type(), false, false, false, ""};
    const bool trained = std::ranges::find(step.parameters, parameter) != step.parameters.end();
    row.frozen = step.facts.contains("gradients") && !trained;
    row.reached = step.gradient_of(parameter) != nullptr;
    row.updated = std::ranges::any_of(step.updates, [&](const Update& update) { return update.state == parameter; });
    if (!row.reached && !row.frozen) row.cut = find_cut(step, needed, parameter);
    result.total += parameter.type().count();
    if (row.reached) result.trained += parameter.type().count();
    result.parameters.push_back(std::move(row));
  }
  std::map<std::string, Audit::Use> uses;
  for (NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    if (node.op->traits.source) continue;
    Audit::Use& use = uses[node.op->name];
    use.op = node.op->name;
    if (node.provenance.pass.empty()) ++use.forward;
    else if (node.provenance.pass == "gradient") ++use.backward;
    else ++use.other;
    ++result.nodes;
  }
  for (const auto& [name, use] : uses) result.ops.push_back(use);
  std::ranges::stable_sort(result.ops, [](const Audit::Use& a, const Audit::Use& b) {
    return a.forward + a.backward + a.other > b.forward + b.backward + b.other;
  });
  result.history = step.history();
  for (const Fetch& fetch : step.fetches) result.published.push_back(fetch.name);
  return result;
}

bool Audit::complete() const {
  const bool optimized = std::ranges::any_of(parameters, [](const Row& row) { return row.updated; });
  return std::ranges::all_of(parameters,
                             [&](const Row& row) { return row.frozen || (row.reached && (row.updated || !optimized)); });
}

std::string Audit::str() const {
  auto joined = [](const std::vector<std::string>& names, const char* between) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : between) + name;
    return text;
  };
  std::string text = fmt::format("step: {}\n  {} nodes; {} of {} parameters learn ({} of {} elements)\n  publishes {}\n",
                                 joined(history, " | "), nodes,
                                 std::ranges::count_if(parameters, [](const Row& row) { return row.reached; }),
                                 parameters.size(), trained, total, joined(published, ", "));
  std::size_t width = 9;
  for (const Row& row : parameters) width = std::max(width, row.path.size());
  text += fmt::format("  {:<{}}  {:<20}  gradient  update\n", "parameter", width, "type");
  for (const Row& row : parameters)
    text += fmt::format("  {:<{}}  {:<20}  {:<8}  {}{}\n", row.path, width, row.type.str(), row.frozen ? "frozen" : row.reached ? "yes" : "NO",
                        row.updated ? "yes" : "no", row.cut.empty() ? "" : "  <- " + row.cut);
  text += "  op                      forward backward  other\n";
  for (const Use& use : ops)
    text += fmt::format("  {:<22} {:>8} {:>8} {:>6}\n", use.op, use.forward, use.backward, use.other);
  return text;
}

std::ostream& operator<<(std::ostream& out, const Audit& audit) { return out << audit.str(); }

}  // namespace weft
