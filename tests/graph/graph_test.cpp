#include <weft/graph/graph.h>
#include <weft/graph/verify.h>

#include <graph/toy_ops.h>
#include <support/catch.h>

#include <weft/graph/graph_bgl.h>
#include <boost/graph/topological_sort.hpp>

#include <memory>

using namespace weft;
using toy::negate, toy::plus, toy::halves;

TEST_CASE("a value's type is known as soon as it is built", "[core][graph]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 4);
  const Value x = graph.input("x", f32, {batch, 3});
  const Value b = graph.parameter("b", {f32, {3}}, init::zeros());
  const Value y = plus(x, b);
  CHECK(y.type().str() == "f32[batch=4, 3]");
  CHECK(y.rank() == 2);
  CHECK(y.dim(0) == 4);
  CHECK(graph.size() == 3);
  CHECK(graph.inputs() == std::vector{x});
  CHECK(graph.parameters() == std::vector{b});
  CHECK(graph.users(x.ref()) == std::vector{y.ref().node});
  CHECK(graph.extent(Symbol("batch")) == 4);
  CHECK_FALSE(graph.extent(Symbol("time")));
  verify(graph);
}

TEST_CASE("names are scoped paths, unique in the graph", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value outside = negate(x);
  {
    const auto decoder = graph.scope("decoder");
    const auto layer = graph.scope("0");
    CHECK(negate(x).name() == "decoder/0/negate");
    CHECK(negate(x).name() == "decoder/0/negate_1");
    CHECK(graph.parameter("weight", {f32, {3}}, init::ones()).name() == "decoder/0/weight");
  }
  CHECK(outside.name() == "negate");
  CHECK(negate(x).name() == "negate_1");
  CHECK(graph.find_name("decoder/0/weight").valid());
  CHECK_FALSE(graph.find_name("decoder/1/weight").valid());
}

TEST_CASE("outputs after the first are named after the op's outputs", "[core][graph]") {
  Graph graph;
  const Values both = halves(graph.input("x", f32, {2, 6}));
  CHECK(both[0].name() == "halves");
  CHECK(both[1].name() == "halves.high");
  CHECK(both[1].shape() == Shape{2, 3});
}

TEST_CASE("a node reports the line on which the user built it", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value y = negate(x);
  const unsigned line = __LINE__ - 1;
  CHECK(y.node().where.line() == line);
  CHECK(str(y.node().where) == fmt::format("graph_test.cpp:{}", line));
}

TEST_CASE("inside a module's scope nodes report the line that called the module", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const auto here = std::source_location::current();
  const auto scope = graph.scope("mlp", here);
  const auto inner = graph.scope("gelu", std::source_location::current());
  CHECK(negate(x).node().where.line() == here.line());
  CHECK(negate(x).name() == "mlp/gelu/negate_1");
}

TEST_CASE("the same parameter path twice is an error with both lines", "[core][graph]") {
  Graph graph;
  graph.parameter("weight", {f32, {3}}, init::zeros());
  const unsigned first = __LINE__ - 1;
  const Value again = graph.parameter("weight", {f32, {3}}, init::zeros());
  const unsigned second = __LINE__ - 1;
  CHECK_FALSE(again.valid());
  CHECK_THROWS_WITH(graph.check(), ContainsSubstring("'weight' is taken") &&
                                       ContainsSubstring(fmt::format("graph_test.cpp:{}", first)) &&
                                       ContainsSubstring(fmt::format("graph_test.cpp:{}", second)));
}

TEST_CASE("a source needs a name and extents that are not negative", "[core][graph]") {
  Graph graph;
  CHECK_FALSE(graph.input("", f32, {3}).valid());
  CHECK_FALSE(graph.input("x", f32, {3, -1}).valid());
  CHECK_THROWS_WITH(graph.check(), ContainsSubstring("input needs a name") &&
                                       ContainsSubstring("extents must not be negative, got [3, -1]"));
}

TEST_CASE("all problems are reported together, and what depends on them is skipped", "[core][graph]") {
  Graph graph;
  const Value a = graph.input("a", f32, {2, 3});
  const Value b = graph.input("b", f32, {2, 4});
  const Value bad = plus(a, b);
  const Value after = negate(negate(bad));
  const Value also = plus(after, a);
  const Value worse = plus(b, a);
  CHECK_FALSE(bad.valid());
  CHECK_FALSE(also.valid());
  CHECK_FALSE(worse.valid());
  CHECK(graph.problems().size() == 2);
  CHECK(graph.size() == 2);
  try {
    graph.check();
    FAIL("check() must throw");
  } catch (const UserError& error) {
    const std::string text = error.what();
    CHECK_THAT(text, ContainsSubstring("the graph has 2 problems") && ContainsSubstring("[plus]") &&
                         ContainsSubstring("operand 0: f32[2, 3] from a (graph_test.cpp:") &&
                         ContainsSubstring("operand 1: f32[2, 4] from b (graph_test.cpp:"));
  }
}

TEST_CASE("strict mode throws at the line of the problem", "[core][graph]") {
  Graph graph;
  graph.strict(true);
  const Value a = graph.input("a", f32, {2, 3});
  const Value b = graph.input("b", f32, {2, 4});
  CHECK_THROWS_WITH(plus(a, b), ContainsSubstring("do not broadcast"));
  CHECK(graph.problems().empty());
}

TEST_CASE("values of two graphs do not meet", "[core][graph]") {
  Graph one, two;
  const Value a = one.input("a", f32, {3});
  const Value b = two.input("b", f32, {3});
  CHECK_FALSE(plus(a, b).valid());
  CHECK_THROWS_WITH(one.check(), ContainsSubstring("operand 1 belongs to another graph"));
  CHECK_THROWS_WITH(one.find(b), ContainsSubstring("'b' is not in this graph"));
  CHECK_FALSE(one.contains(b));
}

TEST_CASE("a value built after a copy was made is not found in the copy", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  Graph copy = graph.clone();
  const Value later = negate(x);
  const Value other = plus(copy.find(x), copy.find(x));
  REQUIRE(later.ref() == other.ref());
  CHECK(copy.find(x).ref() == x.ref());
  CHECK_FALSE(copy.contains(later));
  CHECK_THROWS_WITH(copy.find(later), ContainsSubstring("'negate' is not in this graph"));
}

TEST_CASE("a wrong number of operands says what was expected", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  CHECK_FALSE(graph.apply(toy::plus_op(), {x}).front().valid());
  CHECK_THROWS_WITH(graph.check(), ContainsSubstring("expected 2 operands, got 1"));
}

TEST_CASE("absent and invalid values say so", "[core][graph]") {
  const Value nothing;
  CHECK(nothing.absent());
  CHECK_THROWS_WITH(nothing.type(), ContainsSubstring("never built"));
  Graph graph;
  const Value a = graph.input("a", f32, {2});
  const Value bad = plus(a, graph.input("b", f32, {3}));
  CHECK_FALSE(bad.absent());
  CHECK_THROWS_WITH(bad.type(), ContainsSubstring("failed to build"));
  CHECK_THROWS_WITH(graph.find(bad), ContainsSubstring("failed to build"));
}

TEST_CASE("a dim has one value", "[core][graph]") {
  Graph graph;
  graph.dim("batch", 4);
  CHECK(graph.dim("batch", 4) == 4);
  CHECK_THROWS_WITH(graph.dim("batch", 5), ContainsSubstring("dim 'batch' is 4 at") && ContainsSubstring("and 5 at"));
}

TEST_CASE("a state is updated once and keeps its type", "[core][graph]") {
  Graph graph;
  const Value state = graph.state("count", {f32, {3}}, init::zeros());
  const Value x = graph.input("x", f32, {3});
  const Value wide = graph.input("wide", f32, {2, 3});
  graph.update(state, negate(x));
  CHECK(graph.updates().size() == 1);
  graph.update(state, x);
  graph.update(x, x);
  const Value other = graph.state("other", {f32, {3}}, init::zeros());
  graph.update(other, wide);
  CHECK(graph.updates().size() == 1);
  CHECK_THROWS_WITH(graph.check(), ContainsSubstring("updated once") &&
                                       ContainsSubstring("only a state or a parameter can be updated") &&
                                       ContainsSubstring("an update must keep the type"));
}

TEST_CASE("a constant's bytes fit its type", "[core][graph]") {
  Graph graph;
  CHECK(graph.constant(toy::numbers({1, 2})).shape() == Shape{2});
  CHECK_THROWS_WITH(graph.constant({{f32, {3}}, std::vector<std::byte>(8)}),
                    ContainsSubstring("needs 12 bytes, got 8"));
}

TEST_CASE("provenance and phase hold while their scope lives", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value y = negate(x);
  {
    const auto made = graph.made_by("gradient", y.ref().node);
    const auto phase = graph.phase(Phase::step);
    const Value z = negate(y);
    CHECK(z.node().provenance.pass == "gradient");
    CHECK(z.node().provenance.origin == y.ref().node);
    CHECK(z.node().where.line() == y.node().where.line());
    CHECK(z.node().phase == Phase::step);
  }
  const Value after = negate(x);
  CHECK(after.node().provenance.pass.empty());
  CHECK(after.node().phase == Phase::micro);
}

TEST_CASE("a graph is a handle and clone() is a copy", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  Graph same = graph, copy = graph.clone();
  negate(x);
  CHECK(same.size() == 2);
  CHECK(copy.size() == 1);
  CHECK(same == graph);
  CHECK_FALSE(copy == graph);
}

TEST_CASE("Boost's algorithms run on a graph", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {2, 6});
  const Values h = halves(x);
  const Value y = plus(h[1], h[0]);
  const BoostGraph& boost_graph = as_boost(graph);
  std::vector<Vertex> order;
  boost::topological_sort(boost_graph, std::back_inserter(order));
  REQUIRE(order.size() == 3);
  CHECK(order.front() == vertex_of(graph, y.ref().node));
  CHECK(boost_graph[order.back()].node->name == "x");
  CHECK(boost::in_degree(vertex_of(graph, y.ref().node), boost_graph) == 2);
  for (auto [at, end] = boost::in_edges(vertex_of(graph, y.ref().node), boost_graph); at != end; ++at)
    CHECK(boost_graph[*at].output == 1 - boost_graph[*at].operand);
}

TEST_CASE("scopes that end out of order each take back what they set", "[core][graph]") {
  Graph graph;
  auto outer = std::make_unique<Scope>(graph.scope("outer"));
  auto inner = std::make_unique<Scope>(graph.scope("inner"));
  auto pass = std::make_unique<Scope>(graph.made_by("some_pass", no_node));
  auto phase = std::make_unique<Scope>(graph.phase(Phase::step));
  const auto made = [&](const char* name) { return graph.node(graph.input(name, f32, {1})); };
  CHECK(made("a").name == "outer/inner/a");
  outer.reset();
  CHECK(made("b").name == "inner/b");
  const Value x = graph.find_name("inner/b");
  pass.reset();
  CHECK(made("c").provenance.pass.empty());
  CHECK(graph.node(graph.apply(toy::negate_op(), {x})[0]).phase == Phase::step);
  inner.reset();
  CHECK(made("d").name == "d");
  CHECK(graph.node(graph.apply(toy::negate_op(), {x})[0]).phase == Phase::step);
  phase.reset();
  CHECK(graph.node(graph.apply(toy::negate_op(), {x})[0]).phase == Phase::micro);
  Scope moved = graph.scope("moved");
  {
    const Scope here = std::move(moved);
    CHECK(made("e").name == "moved/e");
  }
  CHECK(made("f").name == "f");
}
