#include <weft/graph/graph_data.h>
#include <weft/graph/verify.h>

#include <graph/toy_ops.h>
#include <support/catch.h>

using namespace weft;
using toy::negate, toy::plus;

namespace {

// y = -(x + x), and a way to break any of its nodes.
struct Sound {
  Graph graph;
  Value x = graph.input("x", f32, {2, 3});
  Value sum = plus(x, x);
  Value y = negate(sum);

  GraphData& data() const { return *graph.data(); }
  void change(const Value& value, const std::function<void(Node&)>& edit) const {
    Node node = value.node();
    edit(node);
    data().nodes[vertex_of(graph, value.ref().node)].node = std::make_shared<const Node>(std::move(node));
  }
};

}  // namespace

TEST_CASE("a graph that was built by its rules is sound", "[core][graph]") { CHECK_NOTHROW(verify(Sound().graph)); }

TEST_CASE("verify refuses a type that the shape rule does not give", "[core][graph]") {
  const Sound s;
  s.change(s.y, [](Node& node) { node.types[0].shape = {2, 4}; });
  CHECK_THROWS_AS(verify(s.graph), InternalError);
  CHECK_THROWS_WITH(verify(s.graph), ContainsSubstring("output 0 of 'negate' is f32[2, 4]"));
}

TEST_CASE("verify refuses operands that the shape rule refuses", "[core][graph]") {
  const Sound s;
  s.change(s.x, [](Node& node) {
    node.types[0].shape = {2, 4};
    node.attributes.set("shape", Shape{2, 4});
  });
  CHECK_THROWS_WITH(verify(s.graph), ContainsSubstring("'plus' is f32[2, 3]"));
}

TEST_CASE("verify refuses an operand that comes later", "[core][graph]") {
  const Sound s;
  s.change(s.sum, [&](Node& node) { node.operands[1] = s.y.ref(); });
  CHECK_THROWS_WITH(verify(s.graph), ContainsSubstring("'plus' comes before its operand 'negate'"));
}

TEST_CASE("verify refuses an operand that is not there", "[core][graph]") {
  const Sound s;
  s.change(s.y, [&](Node& node) { node.operands[0].output = 1; });
  CHECK_THROWS_WITH(verify(s.graph), ContainsSubstring("reads output 1 of 'plus', which has 1"));
  s.change(s.y, [&](Node& node) { node.operands[0] = {77, 0}; });
  CHECK_THROWS_WITH(verify(s.graph), ContainsSubstring("reads node 77, which the graph lacks"));
}

TEST_CASE("verify refuses edges that do not mirror operands", "[core][graph]") {
  const Sound s;
  s.change(s.y, [&](Node& node) { node.operands[0] = s.x.ref(); });
  CHECK_THROWS_WITH(verify(s.graph), ContainsSubstring("an edge of 'negate' does not mirror operand 0"));
  const Sound t;
  boost::clear_in_edges(vertex_of(t.graph, t.y.ref().node), t.data().nodes);
  CHECK_THROWS_WITH(verify(t.graph), ContainsSubstring("operand 0 of 'negate' has no edge"));
}

TEST_CASE("verify refuses two nodes of one name or id", "[core][graph]") {
  const Sound s;
  s.change(s.y, [](Node& node) { node.name = "plus"; });
  CHECK_THROWS_WITH(verify(s.graph), ContainsSubstring("name 'plus' is not its node's own"));
  const Sound t;
  t.change(t.y, [&](Node& node) { node.id = t.sum.ref().node; });
  CHECK_THROWS_WITH(verify(t.graph), ContainsSubstring("is not its own"));
  const Sound u;
  u.data().next_id = 1;
  CHECK_THROWS_WITH(verify(u.graph), ContainsSubstring("would be given again"));
}

TEST_CASE("verify refuses a step whose values lie in another graph", "[core][graph]") {
  const Sound s, other;
  CHECK_NOTHROW(verify(toy::step_of(s.graph, {{"y", s.y}})));
  CHECK_THROWS_WITH(verify(toy::step_of(s.graph, {{"y", other.y}})),
                    ContainsSubstring("the fetch 'y' belongs to another graph"));
  CHECK_THROWS_WITH(verify(toy::step_of(s.graph, {{"y", s.y}, {"y", s.x}})),
                    ContainsSubstring("two fetches are named 'y'"));
}

TEST_CASE("verify refuses a gradient of another type than its parameter", "[core][graph]") {
  Sound s;
  const Value w = s.graph.parameter("w", {f32, {3}}, init::zeros());
  Step step = toy::step_of(s.graph, {{"y", s.y}});
  step.gradients.push_back({w, s.y, {}});
  CHECK_THROWS_WITH(verify(step), ContainsSubstring("the gradient of 'w' is f32[2, 3], the parameter f32[3]"));
}

TEST_CASE("verify refuses two updates of one state, and an update of another type", "[core][graph]") {
  Sound s;
  const Value state = s.graph.state("m", {f32, {2, 3}}, init::zeros());
  Step step = toy::step_of(s.graph, {});
  step.updates = {{state, s.y}, {state, s.sum}};
  CHECK_THROWS_WITH(verify(step), ContainsSubstring("'m' is updated twice"));
  step.updates = {{s.sum, s.y}};
  CHECK_THROWS_WITH(verify(step),
                    ContainsSubstring("'plus' is updated and is no parameter or state but a result of [plus]"));
  step.updates = {{s.graph.state("n", {f32, {3}}, init::zeros()), s.y}};
  CHECK_THROWS_WITH(verify(step), ContainsSubstring("the update of 'n' is f32[2, 3]"));
}
