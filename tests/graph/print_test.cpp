#include <weft/graph/print.h>

#include <graph/toy_ops.h>
#include <support/catch.h>

#include <algorithm>
#include <fstream>
#include <sstream>

using namespace weft;
using toy::negate, toy::plus, toy::halves;

namespace {

std::string golden(const std::string& name) {
  std::ifstream file(std::string(WEFT_TESTS_DIR) + "/golden/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A small step with every kind of row.
Step example() {
  Graph graph;
  const Dim batch = graph.dim("batch", 4);
  const Value x = graph.input("x", f32, {batch, 6});
  const Value w = graph.parameter("head/weight", {f32, {3}}, init::normal(0, 0.02));
  const Value m = graph.state("m", {f32, {3}}, init::zeros());
  Values h;
  Value loss;
  {
    const auto scope = graph.scope("head");
    h = halves(x);
    loss = plus(h[1], w);
    toy::view_as(h[0], {batch * 3});
  }
  Value gradient, next;
  {
    const auto made = graph.made_by("training_step", loss.ref().node);
    gradient = negate(w);
  }
  {
    const auto phase = graph.phase(Phase::step);
    next = plus(m, gradient);
  }
  Step step = toy::step_of(graph, {{"loss", loss}, {"low", h[0]}});
  step.loss = Loss(LossTerm{0.5, loss, h[1]}) + Loss(h[0]);
  step.loss_value = loss;
  step.gradients = {{w, gradient, {.scaled = true, .clipped = true}}};
  step.updates = {{m, next}};
  return step;
}

}  // namespace

TEST_CASE("the text form of a graph is stable", "[core][graph][golden]") {
  CHECK(str(example().graph) == golden("graph.txt"));
  CHECK(str(example().graph) == str(example().graph));
}

TEST_CASE("the text form of a step shows what its roots need, and the lists", "[core][graph][golden]") {
  CHECK(str(example()) == golden("step.txt"));
  std::ostringstream out;
  out << example();
  CHECK(out.str() == golden("step.txt"));
}

TEST_CASE("rows can end in the user's line and leave out the phases", "[core][graph]") {
  const std::string text = str(example().graph, {.lines = true, .phases = false});
  CHECK_THAT(text, ContainsSubstring("# print_test.cpp:"));
  CHECK(text.find("--") == std::string::npos);
}

TEST_CASE("an absent operand prints as none", "[core][graph]") {
  static const OpDef optional{.name = "optional",
                              .least_inputs = 1,
                              .most_inputs = 2,
                              .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
                              .batch = toy::first_state};
  Graph graph;
  toy::apply(optional, {graph.input("x", f32, {3}), Value{}});
  CHECK_THAT(str(graph), EndsWith("%1 optional = optional(%0, none) : f32[3]\n"));
}

TEST_CASE("DOT shows every node and edge, and a cluster a scope", "[core][graph]") {
  const Step step = example();
  const std::string text = dot(step.graph);
  CHECK_THAT(text, StartsWith("digraph"));
  CHECK(std::count(text.begin(), text.end(), '{') >= 2);
  for (std::size_t i = 0; i < step.graph.size(); ++i)
    CHECK_THAT(text, ContainsSubstring(fmt::format("\n{}[label=", i)));
  for (const NodeId id : step.graph.ids())
    CHECK_THAT(text, ContainsSubstring(fmt::format("%{} {} = ", id, step.graph.node(id).name)));
  CHECK_THAT(text, ContainsSubstring("subgraph \"cluster/head\" {"));
  std::size_t arrows = 0;
  for (auto at = text.find("->"); at != std::string::npos; at = text.find("->", at + 2)) ++arrows;
  CHECK(arrows == 7);
}

TEST_CASE("DOT of a step leaves out what its roots do not need and draws updates", "[core][graph]") {
  const std::string text = dot(example());
  CHECK(text.find("view_as") == std::string::npos);
  CHECK_THAT(text, ContainsSubstring("[style=dashed"));
}
