#include <weft/graph/glob.h>
#include <weft/graph/reach.h>
#include <weft/graph/rewrite.h>
#include <weft/optim/facts.h>
#include <weft/optim/freeze.h>

#include <algorithm>

namespace weft {
namespace {

bool any_matches(const std::vector<std::string>& patterns, const std::string& path) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) { return matches(pattern, path); });
}

}  // namespace

Step without_gradients(const Step& step, const std::vector<Value>& parameters, const std::string& pass) {
  if (parameters.empty()) return step;
  auto is_frozen = [&](const Value& parameter) { return std::ranges::find(parameters, parameter) != parameters.end(); };
  std::vector<Value> gone;
  std::vector<Value> roots = step.values([](const StepRole& role) { return role.kind != StepRole::Kind::gradient; });
  for (const Gradient& gradient : step.gradients)
    (is_frozen(gradient.parameter) ? gone : roots).push_back(gradient.value);

  // What only the gradients needed, unless something else reads it: from the last node to the first.
  const Graph& graph = step.graph;
  const NodeSet before = ancestors(graph, gone), after = ancestors(graph, roots);
  const auto ids = graph.ids();
  std::vector<bool> read(graph.next_id(), false);
  std::vector<bool> keeps(ids.size(), true);
  for (std::size_t i = ids.size(); i-- > 0;) {
    const Node& node = graph.node(ids[i]);
    keeps[i] = read[node.id] || node.op->traits.source || after.contains(node.id) || !before.contains(node.id);
    for (ValueRef ref : node.operands)
      if (keeps[i] && ref.node != no_node) read[ref.node] = true;
  }
  Rebuild rebuild(graph, pass);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (keeps[i]) rebuild.keep(graph.node(ids[i]));
    else rebuild.drop(graph.node(ids[i]));
  }
  Step result = step;
  std::erase_if(result.parameters, is_frozen);
  std::erase_if(result.gradients, [&](const Gradient& gradient) { return is_frozen(gradient.parameter); });
  WEFT_CHECK(!result.gradients.empty(), "{} leaves nothing to train: all {} parameters with a gradient are frozen",
             pass, step.gradients.size());
  return result.over(rebuild.finish());
}

Transform freeze(std::vector<std::string> patterns, std::source_location where) {
  const UserLine line(where);
  WEFT_CHECK(!patterns.empty(), "freeze needs a pattern, got none; hint: freeze({{\"embedding/**\"}})");
  return {.name = "freeze",
          .claim = Claim::changes_meaning,
          .needs = {fact::gradients},
          .forbids = {fact::unscaled, fact::checkpointed},
          .apply =
              [patterns](const Step& step) {
                std::vector<Value> frozen;
                for (const Value& parameter : step.parameters)
                  if (any_matches(patterns, parameter.node().name)) frozen.push_back(parameter);
                for (const std::string& pattern : patterns)
                  WEFT_CHECK(
                      std::ranges::any_of(frozen, [&](const Value& p) { return matches(pattern, p.node().name); }),
                      "freeze: the pattern '{}' matches no trained parameter; hint: the first of {} is {}", pattern,
                      step.parameters.size(), step.parameters.front().node().name);
                return without_gradients(step, frozen, "freeze");
              },
          .change = "some parameters are not trained",
          .law =
              [patterns](GradientTable gradients) {
                std::erase_if(gradients, [&](const auto& entry) { return any_matches(patterns, entry.first); });
                return gradients;
              }};
}

Transform freeze(const char* pattern, std::source_location where) {
  return freeze(std::vector<std::string>{pattern}, where);
}

}  // namespace weft
