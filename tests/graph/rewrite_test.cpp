#include <weft/graph/rewrite.h>
#include <weft/graph/verify.h>

#include <graph/toy_ops.h>
#include <support/catch.h>

using namespace weft;
using toy::negate, toy::plus, toy::halves;

TEST_CASE("a node that is kept keeps its id, name and line", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value y = negate(x);
  Rebuild rebuild(graph, "copy");
  for (const NodeId id : graph.ids()) rebuild.keep(graph.node(id));
  const Graph copy = rebuild.finish();
  verify(copy);
  CHECK_FALSE(copy == graph);
  const Value found = copy.find(y);
  CHECK(found.ref() == y.ref());
  CHECK(found.name() == "negate");
  CHECK(found.node().where.line() == y.node().where.line());
  CHECK(found.graph() == copy);
  CHECK(copy.find_name("x") == copy.find(x));
}

TEST_CASE("a replaced value is found where it went, also two passes later", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value y = negate(x);
  const Value z = plus(y, x);

  Rebuild first(graph, "first");
  first.keep(x.node());
  first.replace(y.node(), {plus(first.map(x.ref()), first.map(x.ref()))});
  first.keep(z.node());
  const Graph once = first.finish();
  verify(once);
  CHECK(once.find(y).node().op == &toy::plus_op());
  CHECK(once.find(z).node().operands[0] == once.find(y).ref());

  Rebuild second(once, "second");
  for (const NodeId id : once.ids()) {
    const Node& node = once.node(id);
    if (id == once.find(y).ref().node) second.replace(node, {second.map(x.ref())});
    else second.keep(node);
  }
  const Graph twice = second.finish();
  verify(twice);
  CHECK(twice.find(y).ref() == x.ref());
  CHECK(twice.find(once.find(y)).ref() == x.ref());
}

TEST_CASE("a node that is kept and replaced is still found, while its readers read what replaced it", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value y = negate(x);
  const Value z = plus(y, y);
  Rebuild rebuild(graph, "insert");
  rebuild.keep(x.node());
  rebuild.keep(y.node());
  rebuild.replace(y.node(), {negate(rebuild.map(y.ref()))});
  rebuild.keep(z.node());
  const Graph after = rebuild.finish();
  verify(after);
  CHECK(after.find(y).ref() == y.ref());
  CHECK(after.clone().find(after.find(y)).ref() == y.ref());
  CHECK(after.node(after.find(z).node().operands[0].node).operands[0] == y.ref());
}

TEST_CASE("a dropped value names the pass that removed it", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value y = negate(x);
  Rebuild rebuild(graph, "pruning");
  rebuild.keep(x.node());
  rebuild.drop(y.node());
  const Graph pruned = rebuild.finish();
  CHECK_FALSE(pruned.contains(y));
  CHECK_THROWS_WITH(pruned.find(y), ContainsSubstring("'negate' was removed by pruning; hint: fetch it"));
}

TEST_CASE("a node of which nothing was said is dropped", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value y = negate(x);
  Rebuild rebuild(graph, "pruning");
  rebuild.keep(x.node());
  CHECK_THROWS_WITH(rebuild.finish().find(y), ContainsSubstring("was removed by pruning"));
}

TEST_CASE("ids are never given twice, even when the node is gone", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value y = negate(x);
  Rebuild rebuild(graph, "pruning");
  rebuild.keep(x.node());
  const Graph pruned = rebuild.finish();
  CHECK(negate(pruned.find(x)).ref().node > y.ref().node);
  CHECK_FALSE(pruned.contains(y));
}

TEST_CASE("a new node takes no name that a node kept later has", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value first = plus(x, x);
  const Value second = negate(first);
  Rebuild rebuild(graph, "swap");
  rebuild.keep(x.node());
  rebuild.replace(first.node(), {negate(rebuild.map(x.ref()))});
  rebuild.keep(second.node());
  const Graph swapped = rebuild.finish();
  verify(swapped);
  CHECK(swapped.find(second).name() == "negate");
  CHECK(swapped.find(first).name() == "negate_1");
}

TEST_CASE("what is built in place of a node lies in its scope and reports its line", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  Value y;
  {
    const auto scope = graph.scope("mlp");
    const auto phase = graph.phase(Phase::step);
    y = negate(x);
  }
  Rebuild rebuild(graph, "swap");
  rebuild.keep(x.node());
  {
    const auto scope = rebuild.in_place_of(y.node());
    rebuild.replace(y.node(), {plus(rebuild.map(x.ref()), rebuild.map(x.ref()))});
  }
  const Value made = rebuild.finish().find(y);
  CHECK(made.name() == "mlp/plus");
  CHECK(made.node().where.line() == y.node().where.line());
  CHECK(made.node().provenance.pass == "swap");
  CHECK(made.node().provenance.origin == y.ref().node);
  CHECK(made.node().phase == Phase::step);
  CHECK(negate(made).name() == "negate");
}

TEST_CASE("types are inferred anew where an operand's type has changed", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {2, 4});
  const Value low = halves(x)[0];
  const Value y = negate(low);
  Rebuild rebuild(graph, "wider");
  rebuild.keep_with(x.node(), x.node().attributes.with("shape", Shape{2, 8}));
  rebuild.keep(low.node());
  rebuild.keep(y.node());
  const Graph wider = rebuild.finish();
  verify(wider);
  CHECK(wider.find(y).shape() == Shape{2, 4});
}

TEST_CASE("a refused shape rule names the node and the user's line", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {2, 3});
  const Value y = plus(x, graph.input("b", f32, {3}));
  const unsigned line = __LINE__ - 1;
  Rebuild rebuild(graph, "wider");
  rebuild.keep_with(x.node(), x.node().attributes.with("shape", Shape{2, 5}));
  rebuild.keep(graph.find_name("b").node());
  CHECK_THROWS_WITH(rebuild.keep(y.node()),
                    ContainsSubstring(fmt::format("plus (rewrite_test.cpp:{}): [plus]", line)) &&
                        ContainsSubstring("do not broadcast") && ContainsSubstring("operand 0: f32[2, 5] from x"));
}

TEST_CASE("updates of a graph move with their state and value", "[core][graph]") {
  Graph graph;
  const Value state = graph.state("m", {f32, {3}}, init::zeros());
  const Value y = negate(state);
  graph.update(state, y);
  Rebuild rebuild(graph, "swap");
  rebuild.keep(state.node());
  rebuild.replace(y.node(), {plus(rebuild.map(state.ref()), rebuild.map(state.ref()))});
  const Graph moved = rebuild.finish();
  REQUIRE(moved.updates().size() == 1);
  CHECK(moved.updates()[0].state.ref() == state.ref());
  CHECK(moved.updates()[0].value.ref() == moved.find(y).ref());
}

TEST_CASE("substitute copies only what depends on the replaced value", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value w = negate(x);
  const Value other = negate(w);
  const Value y = plus(w, other);
  const Value z = graph.input("z", f32, {3});
  const std::size_t before = graph.size();

  const std::vector<Value> swapped = substitute({y, x, Value{}}, {{other, z}});
  CHECK(graph.size() == before + 1);
  CHECK(swapped[0].node().operands == std::vector{w.ref(), z.ref()});
  CHECK(swapped[0].name() == "plus_1");
  CHECK(swapped[0].node().provenance.pass == "substitute");
  CHECK(swapped[0].node().provenance.origin == y.ref().node);
  CHECK(swapped[1] == x);
  CHECK(swapped[2].absent());
  CHECK(y.node().operands[1] == other.ref());
  verify(graph);
}

TEST_CASE("substitute goes through several outputs and replaces a value that is asked for", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {4});
  const Values h = halves(x);
  const Value y = plus(h[0], h[1]);
  const Value z = negate(x);
  CHECK(substitute({x}, {{x, z}})[0] == z);
  const Value swapped = substitute({y}, {{x, z}})[0];
  const Node& copied = graph.node(swapped.node().operands[1].node);
  CHECK(copied.operands[0] == z.ref());
  CHECK(swapped.node().operands[1].output == 1);
  // Only the first output is replaced: the node itself stays as it is.
  const Value half = substitute({y}, {{h[0], h[1]}})[0];
  CHECK(half.node().operands == std::vector{h[1].ref(), h[1].ref()});
  verify(graph);
}

TEST_CASE("substitute inside a made_by scope carries that pass's name", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value y = negate(x);
  const Value z = graph.input("z", f32, {3});
  const auto scope = graph.made_by("checkpoint", no_node);
  const Value copy = substitute({y}, {{x, z}})[0];
  CHECK(copy.node().provenance.pass == "checkpoint");
  CHECK(copy.node().provenance.origin == y.ref().node);
}

TEST_CASE("substitute refuses a value of another type", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value wide = graph.input("wide", f32, {4});
  CHECK_THROWS_AS(substitute({negate(x)}, {{x, wide}}), InternalError);
}

TEST_CASE("a long chain is substituted without deep recursion", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value z = graph.input("z", f32, {3});
  Value y = x;
  for (int i = 0; i < 20000; ++i) y = negate(y);
  const Value swapped = substitute({y}, {{x, z}})[0];
  CHECK(graph.size() == 40002);
  CHECK(swapped.name() == "negate_19999_1");
}
