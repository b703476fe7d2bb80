#include <weft/graph/pass.h>
#include <weft/graph/passes/common_subexpressions.h>
#include <weft/graph/passes/dead_code.h>
#include <weft/graph/passes/fold_constants.h>
#include <weft/graph/print.h>
#include <weft/graph/verify.h>

#include <graph/toy_ops.h>
#include <support/catch.h>

#include <map>

using namespace weft;
using toy::negate, toy::plus, toy::noise, toy::halves, toy::step_of;

namespace {

// Both steps read the same, ids aside: sources by name, other nodes by the order in which they are needed.
std::string form(const Step& step) {
  std::string text;
  std::map<NodeId, std::size_t> number;
  auto ref = [&](ValueRef r) { return r.node == no_node ? "-" : fmt::format("{}.{}", number.at(r.node), r.output); };
  const NodeSet needed = ancestors(step.graph, step.roots());
  for (const NodeId id : step.graph.ids()) {
    if (!needed.contains(id)) continue;
    const Node& node = step.graph.node(id);
    text += fmt::format("{} {} {}(", number.size(), node.op->traits.source ? node.name : "", node.op->name);
    for (const ValueRef& operand : node.operands) text += ref(operand) + " ";
    text += ")" + node.attributes.str() + node.types[0].str() + "\n";
    number.emplace(node.id, number.size());
  }
  for (const Fetch& fetch : step.fetches) text += fetch.name + " " + ref(fetch.value.ref()) + "\n";
  return text;
}

Value input(Graph& graph) { return graph.input("x", f32, {graph.dim("batch", 4), 6}); }

// As the runtime's: here every foldable op negates.
std::optional<std::vector<Constant>> negated(const Graph&, const Node& node, const std::vector<const Constant*>& in) {
  if (node.op == &toy::fill_op()) return std::vector{toy::numbers(std::vector<float>(3, 1.F))};
  if (node.op != &toy::negate_op()) return std::nullopt;
  Constant result = *in[0];
  for (std::size_t i = 3; i < result.bytes.size(); i += 4) result.bytes[i] ^= std::byte{0x80};
  return std::vector{result};
}

}  // namespace

TEST_CASE("dead code goes; parameters and states stay", "[core][graph]") {
  Graph graph;
  const Value x = input(graph);
  const Value unused = graph.input("unused", f32, {3});
  const Value w = graph.parameter("w", {f32, {6}}, init::zeros());
  const Value m = graph.state("m", {f32, {6}}, init::zeros());
  const Value dead = negate(negate(x));
  const Value y = plus(x, x);
  const Step after = dead_code(step_of(graph, {{"y", y}}));
  verify(after);
  CHECK(after.graph.size() == 4);
  CHECK(after.find(y).ref() == y.ref());
  CHECK(after.graph.contains(w));
  CHECK(after.graph.contains(m));
  CHECK_FALSE(after.graph.contains(unused));
  CHECK_THROWS_WITH(after.find(dead), ContainsSubstring("'negate_1' was removed by dead_code"));
}

TEST_CASE("dead code keeps what updates need", "[core][graph]") {
  Graph graph;
  const Value m = graph.state("m", {f32, {6}}, init::zeros());
  const Value next = negate(negate(m));
  Step step = step_of(graph, {});
  step.updates.push_back({m, next});
  CHECK(dead_code(step).graph == graph);
}

TEST_CASE("values of a step that lose their node become invalid, not wrong", "[core][graph]") {
  Graph graph;
  const Value w = graph.parameter("w", {f32, {6}}, init::zeros());
  Step step = step_of(graph, {{"w", w}});
  step.gradients.push_back({w, negate(w), {}});
  step.loss_value = negate(w);
  const Step after = dead_code(step);
  CHECK(after.gradients.empty());
  CHECK_FALSE(after.loss_value.valid());
  CHECK_FALSE(after.loss_value.absent());
  verify(after);
}

TEST_CASE("a pass that changes nothing gives back the same graph", "[core][graph]") {
  Graph graph;
  const Value x = input(graph);
  const Step step = step_of(graph, {{"y", plus(negate(x), noise(x))}});
  CHECK(dead_code(step).graph == graph);
  CHECK(common_subexpressions(step).graph == graph);
  CHECK(fold_constants(step, negated).graph == graph);
}

TEST_CASE("equal nodes become one, up to the roots", "[core][graph]") {
  Graph twice, once;
  {
    const Value x = input(twice);
    const Value a = negate(plus(x, x)), b = negate(plus(x, x));
    const Step after = common_subexpressions(step_of(twice, {{"y", plus(a, b)}, {"b", b}}));
    verify(after);
    CHECK(after.find(b).ref() == a.ref());
    const Value z = input(once);
    const Value c = negate(plus(z, z));
    CHECK(form(after) == form(step_of(once, {{"y", plus(c, c)}, {"b", c}})));
  }
}

TEST_CASE("every output of a merged node is found", "[core][graph]") {
  Graph graph;
  const Value x = input(graph);
  const Values a = halves(x), b = halves(x);
  const Step after = common_subexpressions(step_of(graph, {{"y", plus(a[0], b[1])}}));
  CHECK(after.find(b[1]).ref() == a[1].ref());
  CHECK(after.find(b[1]).name() == "halves.high");
  CHECK(after.graph.size() == 3);
}

TEST_CASE("equal constants become one and unequal ones do not", "[core][graph]") {
  Graph graph;
  const Value a = graph.constant(toy::numbers({1, 2, 3}));
  const Value b = graph.constant(toy::numbers({1, 2, 3}));
  const Value c = graph.constant(toy::numbers({1, 2, 4}));
  const Step after = common_subexpressions(step_of(graph, {{"y", plus(plus(a, b), c)}}));
  CHECK(after.find(b).ref() == a.ref());
  CHECK(after.find(c).ref() == c.ref());
}

TEST_CASE("random nodes are never merged", "[core][graph]") {
  Graph graph;
  const Value x = input(graph);
  const Step step = step_of(graph, {{"y", plus(noise(x), noise(x))}});
  CHECK(common_subexpressions(step).graph == graph);
}

TEST_CASE("sources, clones of checkpoint, phases and attributes are never merged", "[core][graph]") {
  Graph graph;
  const Value x = input(graph);
  const Value y = negate(x);
  std::vector<Value> apart{y};
  {
    const auto made = graph.made_by("checkpoint", y.ref().node);
    apart.push_back(negate(x));
    apart.push_back(negate(x));
  }
  {
    const auto phase = graph.phase(Phase::step);
    apart.push_back(negate(x));
  }
  apart.push_back(toy::view_as(x, {3, 8}));
  apart.push_back(toy::view_as(x, {8, 3}));
  graph.parameter("a", {f32, {6}}, init::zeros());
  graph.parameter("b", {f32, {6}}, init::zeros());
  Step step = step_of(graph, {});
  for (std::size_t i = 0; i < apart.size(); ++i) step.fetches.push_back({fmt::format("{}", i), apart[i]});
  CHECK(common_subexpressions(step).graph == graph);
}

TEST_CASE("shapes of equal extents but other names are not merged", "[core][graph]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 4);
  const Value named = toy::fill(graph, {batch, 3}), plain = toy::fill(graph, {4, 3});
  CHECK(common_subexpressions(step_of(graph, {{"a", named}, {"b", plain}})).graph == graph);
}

TEST_CASE("nodes over constants become constants", "[core][graph]") {
  Graph graph, expected;
  const Value x = graph.input("x", f32, {3});
  const Value c = graph.constant(toy::numbers({1, -2, 3}));
  Value y;
  {
    const auto scope = graph.scope("mlp");
    y = negate(negate(negate(c)));
  }
  const Step after = dead_code(fold_constants(step_of(graph, {{"y", plus(x, y)}}), negated));
  verify(after);
  const Value z = expected.input("x", f32, {3});
  const Value d = expected.constant(toy::numbers({-1, 2, -3}));
  const auto same = [](const Value& value) {
    return *value.node().attributes.get<std::shared_ptr<const Constant>>("value");
  };
  CHECK(after.graph.size() == 3);
  CHECK(same(after.find(y)) == same(d));
  CHECK(after.find(y).name() == "mlp/constant_2");
  CHECK(after.find(y).node().where.line() == y.node().where.line());
  CHECK(after.find(y).node().provenance.pass == "fold_constants");
  CHECK(plus(z, d).type() == after.fetch("y").type());
}

TEST_CASE("nodes without operands feed folding and stay themselves", "[core][graph]") {
  Graph graph;
  const Value ones = toy::fill(graph, {3});
  const Value y = negate(ones);
  const Step after = fold_constants(step_of(graph, {{"y", y}, {"ones", ones}}), negated);
  CHECK(after.find(ones).ref() == ones.ref());
  CHECK(after.find(y).node().op == &constant_op());
}

TEST_CASE("folding leaves what is large, random, follows the batch, or comes from a run", "[core][graph]") {
  Graph graph;
  const Value c = graph.constant(toy::numbers({1, 2, 3}));
  const Value batched = negate(toy::fill(graph, {graph.dim("batch", 3)}));
  const Value y = plus(plus(noise(c), graph.input("x", f32, {3})), batched);
  const Step step = step_of(graph, {{"y", y}});
  CHECK(fold_constants(step, negated).graph == graph);
  const Step small = step_of(graph, {{"y", negate(c)}});
  CHECK(fold_constants(small, negated, 11).graph == graph);
  CHECK_FALSE(fold_constants(small, negated, 12).graph == graph);
}

TEST_CASE("the runner says what each pass did, and leaves out what is disabled", "[core][graph]") {
  Graph graph;
  const Value x = input(graph);
  const Value dead = negate(x);
  const Step step = step_of(graph, {{"y", plus(negate(x), negate(x))}});
  const std::vector<Pass> passes{
      {"common_subexpressions", common_subexpressions}, {"dead_code", dead_code}, {"again", dead_code}};
  PassReport report;
  const Step after = run_passes(step, passes, {}, &report);
  CHECK(after.graph.size() == 3);
  REQUIRE(report.lines.size() == 3);
  CHECK(report.lines[0].changed);
  CHECK(report.lines[0].nodes_before == 5);
  CHECK(report.lines[0].nodes_after == 3);
  CHECK_FALSE(report.lines[2].changed);
  CHECK_THAT(report.str(), ContainsSubstring("5 -> 3 nodes") && ContainsSubstring("unchanged"));
  CHECK(after.find(dead).valid());

  report = {};
  const Step only_dead = run_passes(step, passes, {.disabled = {"common_subexpressions", "again"}}, &report);
  CHECK(only_dead.graph.size() == 4);
  CHECK(report.lines[0].disabled);
  CHECK_THAT(report.str(), ContainsSubstring("disabled"));
}

TEST_CASE("the runner names the pass after which a step is broken", "[core][graph]") {
  Graph graph;
  const Step step = step_of(graph, {{"x", input(graph)}});
  const Pass breaking{"breaking", [](const Step& before) {
                        Graph other;
                        Step after = before;
                        after.graph = other;
                        return after;
                      }};
  CHECK_THROWS_WITH(run_passes(step, {breaking}), ContainsSubstring("after the pass breaking: "));
  CHECK_NOTHROW(run_passes(step, {breaking}, {.verify = false}));
}
