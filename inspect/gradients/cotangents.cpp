#include <weft/inspect/gradients/cotangents.h>

#include <weft/autodiff/gradient.h>
#include <weft/graph/passes/equal_nodes.h>
#include <weft/graph/rewrite.h>
#include <weft/inspect/audit/blocks.h>

#include <algorithm>
#include <unordered_map>

namespace weft {
namespace {

// A copy in which each reader of the forward pass has its own of what a transform put behind a value (its cast): so it
// was while the gradients were derived, and sums of cotangents are what they were then.
Graph unmerged(const Step& step) {
  const Graph& graph = step.graph;
  const NodeSet leads = leads_to_loss(step);
  std::unordered_map<ValueRef, std::size_t> readers, read;
  for (const NodeId id : graph.ids())
    for (const ValueRef& ref : graph.node(id).operands)
      if (leads.contains(id) && ref.node != no_node) ++readers[ref];
  Rebuild rebuild(graph, "find_cotangents");
  std::unordered_map<ValueRef, std::vector<Value>> copies;
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    Node changed = node;
    for (ValueRef& ref : changed.operands) {
      if (ref.node == no_node) continue;
      const auto at = leads.contains(id) ? copies.find(ref) : copies.end();
      ref = at == copies.end() ? rebuild.map(ref).ref() : at->second.at(read[ref]++).ref();
    }
    rebuild.keep_as(std::move(changed));
    const std::string& pass = node.provenance.pass;
    const bool put_behind =
        !pass.empty() && pass != "gradient" && node.op->traits.pointwise && node.operands.size() == 1;
    if (!leads.contains(id) || !put_behind || readers[{id, 0}] < 2) continue;
    std::vector<Value>& own = copies[{id, 0}];
    own.push_back(rebuild.to().value(id));
    const Scope place = rebuild.in_place_of(node);
    while (own.size() < readers[{id, 0}])
      own.push_back(rebuild.to().apply(*node.op, {rebuild.map(node.operands[0])}, node.attributes).front());
  }
  return rebuild.finish();
}

// `parameters`: what the step's own walk went back to; it decides what the rules were asked for.
void look_up(const Step& step, const std::vector<Value>& parameters, const std::vector<Value>& values,
             std::map<ValueRef, Value>& found) {
  const Graph& graph = step.graph;
  Graph copy = unmerged(step);
  std::vector<Value> sums, seeds, wanted;
  for (const LossTerm& term : step.loss.terms) sums.push_back(copy.value(term.sum.ref()));
  for (const Value& seed : step.seeds) seeds.push_back(copy.value(seed.ref()));
  for (const Value& value : values)
    if (!found.contains(value.ref())) wanted.push_back(copy.value(value.ref()));
  const std::size_t asked = wanted.size();
  if (asked == 0) return;
  for (const Value& parameter : parameters) wanted.push_back(copy.value(parameter.ref()));
  const auto phase = copy.phase(Phase::micro);
  const std::vector<Value> cotangents = vector_jacobian(sums, seeds, wanted);
  const std::vector<NodeId> first = equal_nodes(copy, {.random = true, .any_phase = true});
  for (std::size_t i = 0; i < asked; ++i) {
    if (!cotangents[i].valid()) continue;
    const ValueRef ref = cotangents[i].ref();
    const NodeId same = first[ref.node];
    if (same < graph.next_id() && graph.has(same)) found.emplace(wanted[i].ref(), graph.value(same, ref.output));
  }
}

}  // namespace

std::map<ValueRef, Value> find_cotangents(const Step& step, const std::vector<Value>& values) {
  std::map<ValueRef, Value> found;
  const bool whole = std::ranges::all_of(step.loss.terms, [](const LossTerm& term) { return term.sum.valid(); }) &&
                     std::ranges::all_of(step.seeds, [](const Value& seed) { return seed.valid(); });
  if (!whole || step.loss.terms.empty() || step.seeds.size() != step.loss.terms.size()) return found;
  look_up(step, step.graph.parameters(), values, found);
  if (step.parameters.size() != step.graph.parameters().size()) look_up(step, step.parameters, values, found);
  return found;
}

}  // namespace weft
