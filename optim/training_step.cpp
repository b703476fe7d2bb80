#include <weft/autodiff/gradient.h>
#include <weft/autodiff/plain_outputs.h>
#include <weft/graph/rewrite.h>
#include <weft/graph/user_rule.h>
#include <weft/graph/verify.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/creation.h>
#include <weft/optim/backward_pass.h>
#include <weft/optim/facts.h>
#include <weft/optim/training_step.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace weft {
namespace {

Graph graph_of(const Loss& loss) {
  for (const LossTerm& term : loss.terms)
    if (!term.sum.absent()) return term.sum.graph();
  WEFT_FAIL("there is no loss to train; hint: Loss loss = cross_entropy(logits, targets)");
}

// Whether a gradient flows from `value` to a parameter: tried on a copy of the graph. (An op's outputs differ in that:
// the sum of a cross entropy depends on the logits, its number of tokens does not.)
bool is_trained(const Graph& graph, const Value& value) {
  if (!is_float(value.dtype())) return false;
  const Graph trial = graph.clone();
  const Value here = trial.find(value);
  const std::vector<Value> gradients = vector_jacobian({here}, {ones_like(here)}, trial.parameters());
  return std::ranges::any_of(gradients, [](const Value& gradient) { return gradient.valid(); });
}

// The terms as values of `graph`, each a scalar of a floating type.
Loss terms_in(const Graph& graph, const Loss& loss, bool training) {
  Loss found;
  for (const LossTerm& term : loss.terms) {
    LossTerm here{term.coefficient, graph.find(term.sum), {}};
    WEFT_CHECK(here.sum.shape().count() == 1 && is_float(here.sum.dtype()),
               "a loss must be one number of a floating type, {} ({}) is {}; hint: sum(x) or mean(x)", here.sum.name(),
               str(here.sum.node().where), here.sum.type().str());
    if (!term.weight.absent()) {
      here.weight = graph.find(term.weight);
      WEFT_CHECK(here.weight.shape().count() == 1, "the weight of a loss must be one number, {} ({}) is {}",
                 here.weight.name(), str(here.weight.node().where), here.weight.type().str());
      // A weight that is trained is no weight: the quotient is differentiated whole.
      if (training && is_trained(graph, here.weight)) here = {term.coefficient, divide(here.sum, here.weight), {}};
    }
    found.terms.push_back(here);
  }
  return found;
}

// sum_i coefficient_i * sum_i / weight_i
Value mean_of(const Loss& loss) {
  Value total;
  for (const LossTerm& term : loss.terms) {
    Value value = term.weight.absent() ? term.sum : divide(term.sum, cast(term.weight, term.sum.dtype()));
    if (term.coefficient != 1) value = multiply(value, term.coefficient);
    // a term may be wider than the others (sum_squares gives f64)
    if (total.valid() && total.dtype() != value.dtype()) {
      const DType wide = total.dtype() == f64 || value.dtype() == f64 ? f64 : f32;
      total = cast(total, wide);
      value = cast(value, wide);
    }
    total = total.valid() ? add(total, value) : value;
  }
  return total;
}

void publish(Step& step) {
  step.loss_value = mean_of(step.loss);
  step.set_fetch("loss", step.loss_value);
  for (const LossTerm& term : step.loss.terms)
    if (!term.weight.absent() && !step.has_fetch("tokens")) step.set_fetch("tokens", term.weight);
}

// Where the ways from the parameters end: "; cut at floor (model.cpp:12)".
std::string cuts_of(const Step& step) {
  if (step.parameters.empty()) return "";
  std::vector<Value> sums;
  for (const LossTerm& term : step.loss.terms) sums.push_back(term.sum);
  std::set<std::string> cuts;
  for (const NodeId id : gradient_ends(sums, step.parameters)) {
    const Node& node = step.graph.node(id);
    cuts.insert(fmt::format("cut at {} ({})", node.name, str(node.where)));
  }
  return cuts.empty() ? "; the loss does not use it" : fmt::format("; {}", fmt::join(cuts, "; "));
}

}  // namespace

Step training_step(const Loss& loss, std::source_location where) {
  const Graph source = graph_of(loss);
  source.check();
  const UserLine line(where);
  Step step;
  step.graph = source.clone();
  step.take_updates();
  const auto scope = step.graph.scope("loss");
  step.loss = terms_in(step.graph, loss, true);
  publish(step);

  for (const LossTerm& term : step.loss.terms) {
    Value seed = multiply(ones_like(term.sum), term.coefficient);
    if (!term.weight.absent()) seed = divide(seed, cast(term.weight, term.sum.dtype()));
    step.seeds.push_back(seed);
  }
  step.parameters = step.graph.parameters();
  step.gradients = gradients_of(step, step.parameters);
  WEFT_CHECK(!step.gradients.empty(),
             "the loss {} ({}) reaches no parameter, so there is nothing to train; the graph has {} parameters{}",
             step.loss.terms.front().sum.name(), str(step.loss.terms.front().sum.node().where), step.parameters.size(),
             cuts_of(step));
  step.applied = {{.name = "training_step", .promises = {fact::gradients}}};
  step.facts = {fact::gradients};
  step.graph.check();
  verify(step);
  return step;
}

namespace {

// Every node as it is outside training, and nothing that only updates need.
Graph without_training(const Graph& graph) {
  Rebuild rebuild(graph, "evaluation");
  for (NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (!node.op->evaluation) {
      rebuild.keep(node);
      continue;
    }
    Values operands;
    for (ValueRef ref : rebuild.operands(node))
      operands.push_back(ref.node == no_node ? Value{} : rebuild.to().value(ref));
    const Scope place = rebuild.in_place_of(node);
    rebuild.replace(node, user_rule(node, "its evaluation rule", [&] {
                      return evaluation_outputs(*node.op, {operands, node.attributes, node.types});
                    }));
  }
  return rebuild.finish();
}

}  // namespace

Step evaluation(const Loss& loss, const std::vector<Value>& fetches, std::source_location where) {
  const Graph source = graph_of(loss);
  source.check();
  Step step;
  const UserLine line(where);
  step.graph = without_training(source);
  step.graph.take_updates();  // a step without updates
  const auto scope = step.graph.scope("loss");
  step.loss = terms_in(step.graph, loss, false);
  publish(step);
  if (step.loss.terms.size() == 1) {
    step.set_fetch("sum", step.loss.terms.front().sum);
    if (!step.loss.terms.front().weight.absent()) step.set_fetch("weight", step.loss.terms.front().weight);
  }
  for (const Value& value : fetches) step.set_fetch(value.name(), step.find(value));
  step.applied = {{.name = "evaluation"}};
  verify(step);
  return step;
}

namespace {

// Of the values alone. Updates of the graph stay in it.
Step without_loss(const std::vector<Value>& fetches) {
  WEFT_CHECK(!fetches.empty(), "there is nothing to fetch: expected values, got none; hint: inference({{logits}})");
  const Graph source = fetches.front().graph();
  source.check();
  Step step;
  step.graph = without_training(source);
  for (const Value& value : fetches) step.set_fetch(value.name(), step.find(value));
  step.applied = {{.name = "evaluation"}};
  return step;
}

}  // namespace

Step inference(const std::vector<Value>& fetches) {
  Step step = without_loss(fetches);
  step.graph.take_updates();  // a step without updates
  verify(step);
  return step;
}

Step decoding(const std::vector<Value>& fetches) {
  Step step = without_loss(fetches);
  step.take_updates();
  verify(step);
  return step;
}

}  // namespace weft
