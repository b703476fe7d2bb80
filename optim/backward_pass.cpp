#include <weft/optim/backward_pass.h>

#include <weft/autodiff/gradient.h>
#include <weft/graph/reach.h>

#include <algorithm>

namespace weft {
namespace {

std::string right_place(const std::string& name) {
  return fmt::format("hint: training_step(loss) | {} | what reads the gradients", name);
}

// Nodes that depend on a seed of the backward pass.
NodeSet behind_seeds(const Step& step) {
  NodeSet behind = descendants(step.graph, step.seeds);
  for (const Value& seed : step.seeds) behind.erase(seed.ref().node);  // the seeds themselves stay
  return behind;
}

}  // namespace

std::vector<bool> forward_nodes(const Step& step, const std::string& name) {
  WEFT_CHECK(step.seeds.size() == step.loss.terms.size() || step.gradients.empty(),
             "{}: the gradients of this step were not made by training_step; {}", name, right_place(name));
  const Graph& graph = step.graph;
  const NodeSet behind = behind_seeds(step);
  auto expect_forward = [&](const Value& value, const std::string& what) {
    WEFT_CHECK(value.absent() || !behind.contains(value.ref().node),
               "{} derives the gradients anew, and {} reads '{}' ({}) of the "
               "old ones; {}",
               name, what, value.name(), str(value.node().where), right_place(name));
  };
  for (const Fetch& fetch : step.fetches) expect_forward(fetch.value, "the fetch '" + fetch.name + "'");
  for (const Update& update : step.updates) expect_forward(update.value, "the update of '" + update.state.name() + "'");

  std::vector<bool> stays(graph.next_id(), false);
  bool past_seeds = false;
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    past_seeds |= std::ranges::any_of(step.seeds, [&](const Value& seed) { return seed.ref().node == id; });
    const bool of_gradient = node.provenance.pass == gradient_pass;
    WEFT_CHECK(!behind.contains(id) || of_gradient,
               "{} derives the gradients anew, and '{}' ({}{}) was built upon the old ones; {}", name, node.name,
               str(node.where), node.provenance.pass.empty() ? "" : ", by " + node.provenance.pass, right_place(name));
    // Numbers that only backward rules made depend on no seed.
    stays[id] = !behind.contains(id) && !(of_gradient && past_seeds);
  }
  for (auto id = graph.ids().rbegin(); id != graph.ids().rend(); ++id)
    for (const ValueRef& ref : graph.node(*id).operands)
      if (stays[*id] && ref.node != no_node) stays[ref.node] = true;
  for (const Gradient& gradient : step.gradients) {
    const Node& node = gradient.value.node();
    const bool seed = std::ranges::find(step.seeds, gradient.value) != step.seeds.end();
    WEFT_CHECK(seed || node.provenance.pass == gradient_pass,
               "{} derives the gradients anew, and the gradient of '{}' was replaced by '{}' ({}); {}", name,
               gradient.parameter.name(), node.name, str(node.where), right_place(name));
  }
  return stays;
}

std::vector<Gradient> gradients_of(const Step& step, const std::vector<Value>& parameters) {
  std::vector<Value> sums;
  for (const LossTerm& term : step.loss.terms) sums.push_back(term.sum);
  const std::vector<Value> values = vector_jacobian(sums, step.seeds, parameters);
  std::vector<Gradient> gradients;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (values[i].valid()) gradients.push_back({parameters[i], values[i], {}});
  return gradients;
}

void rederive_gradients(Step& step, const std::vector<Gradient>& before) {
  std::vector<Value> parameters;
  for (const Gradient& gradient : before) parameters.push_back(step.graph.find(gradient.parameter));
  const auto scope = step.graph.scope("loss");
  step.gradients = gradients_of(step, parameters);
  WEFT_INVARIANT(step.gradients.size() == before.size(), "of {} parameters {} have a gradient when it is derived again",
                 before.size(), step.gradients.size());
  for (std::size_t i = 0; i < before.size(); ++i) step.gradients[i].tags = before[i].tags;
}

}  // namespace weft
