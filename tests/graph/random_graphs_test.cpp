// Random graphs: passes keep what every fetch means, and a second run of a pass changes nothing.
#include <weft/graph/at_batch.h>
#include <weft/graph/passes/common_subexpressions.h>
#include <weft/graph/passes/dead_code.h>
#include <weft/graph/print.h>
#include <weft/graph/reach.h>
#include <weft/graph/rewrite.h>
#include <weft/graph/verify.h>

#include <graph/toy_ops.h>
#include <support/catch.h>

#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <set>

using namespace weft;

namespace {

// A step over nodes chosen by `choices`: small numbers give many equal nodes.
Step random_step(const std::vector<std::tuple<unsigned, unsigned, unsigned>>& choices) {
  Graph graph;
  std::vector<Value> values{graph.input("x", f32, {graph.dim("batch", 4), 2}),
                            graph.parameter("w", {f32, {2}}, init::ones())};
  for (const auto& [op, a, b] : choices) {
    const Value &left = values[a % values.size()], &right = values[b % values.size()];
    const auto scope = graph.scope(fmt::format("{}", op % 3));
    switch (op % 6) {
      case 0:
        values.push_back(toy::noise(left));
        break;
      case 1:
        values.push_back(toy::negate(left));
        break;
      case 2: {
        const auto phase = graph.phase(Phase::step);
        values.push_back(toy::negate(left));
        break;
      }
      default:
        values.push_back(toy::plus(left, right));
    }
  }
  Step step = toy::step_of(graph, {{"last", values.back()}, {"middle", values[values.size() / 2]}});
  return step;
}

// What a value means: its op, attributes and operands, all the way down. A random node means its id.
std::map<std::string, std::size_t> meanings(const Step& step) {
  std::map<NodeId, std::size_t> of;
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    std::string text = node.op->name + node.attributes.str() + node.types[0].str();
    if (node.op->traits.source) text += node.name;
    if (node.op->traits.random) text += fmt::format("#{}", id);
    for (const ValueRef& ref : node.operands) text += fmt::format(" {}.{}", of.at(ref.node), ref.output);
    of[id] = std::hash<std::string>{}(text);
  }
  std::map<std::string, std::size_t> meanings;
  for (const Fetch& fetch : step.fetches) meanings[fetch.name] = of.at(fetch.value.ref().node);
  return meanings;
}

}  // namespace

TEST_CASE("passes over random graphs keep what each fetch means, and a second run changes nothing", "[core][graph]") {
  const bool holds = rc::check([](const std::vector<std::tuple<unsigned, unsigned, unsigned>>& choices) {
    const Step step = random_step(choices);
    const std::string text = str(step.graph);
    for (const auto& pass : {common_subexpressions, dead_code}) {
      const Step once = pass(step);
      verify(once);
      RC_ASSERT(meanings(once) == meanings(step));
      RC_ASSERT(pass(once).graph == once.graph);
      for (const Fetch& fetch : step.fetches) RC_ASSERT(once.find(fetch.value) == once.fetch(fetch.name));
    }
    RC_ASSERT(str(step.graph) == text);
  });
  CHECK(holds);
}

TEST_CASE("random graphs at another batch come back the same", "[core][graph]") {
  const bool holds = rc::check([](const std::vector<std::tuple<unsigned, unsigned, unsigned>>& choices) {
    const Step step = random_step(choices);
    const Step small = at_batch(step, 2);
    verify(small);
    RC_ASSERT(str(at_batch(small, 4)) == str(step));
  });
  CHECK(holds);
}

TEST_CASE("a substituted random graph means what it meant", "[core][graph]") {
  const bool holds = rc::check([](const std::vector<std::tuple<unsigned, unsigned, unsigned>>& choices) {
    const Step step = random_step(choices);
    Graph graph = step.graph;
    const Value x = graph.find_name("x");
    const Value twin = toy::negate(x);
    const std::vector<Value> swapped = substitute({step.fetch("last")}, {{x, twin}});
    verify(graph);
    // Substituting the twin by x in the copy is the identity, up to copies.
    const Value back = substitute(swapped, {{twin, x}})[0];
    const bool random = std::ranges::any_of(graph.ids(), [&](NodeId id) { return graph.node(id).op->traits.random; });
    const Step again = toy::step_of(graph, {{"last", back}, {"middle", step.fetch("middle")}});
    if (!random) RC_ASSERT(meanings(again) == meanings(step));
  });
  CHECK(holds);
}

TEST_CASE("of random graphs a node is made from another where that one leads to it", "[core][graph]") {
  const bool holds = rc::check([](const std::vector<std::tuple<unsigned, unsigned, unsigned>>& choices) {
    const Graph graph = random_step(choices).graph;
    // By the definition: a node's operands, and what those are made from.
    std::map<NodeId, std::set<NodeId>> made_from;
    for (const NodeId id : graph.ids()) {
      made_from[id].insert(id);
      for (const ValueRef& ref : graph.node(id).operands)
        made_from[id].insert(made_from.at(ref.node).begin(), made_from.at(ref.node).end());
    }
    for (const NodeId from : graph.ids()) {
      const NodeSet behind = descendants(graph, {graph.value(from)});
      for (const NodeId id : graph.ids()) RC_ASSERT(behind.contains(id) == made_from.at(id).contains(from));
    }
    for (const NodeId id : graph.ids()) {
      const NodeSet before = ancestors(graph, {graph.value(id)});
      for (const NodeId from : graph.ids()) RC_ASSERT(before.contains(from) == made_from.at(id).contains(from));
    }
  });
  CHECK(holds);
}
