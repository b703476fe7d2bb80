#include <weft/graph/rewrite.h>
#include <weft/graph/step.h>
#include <weft/graph/verify.h>

#include <graph/toy_ops.h>
#include <support/catch.h>

using namespace weft;
using toy::negate, toy::plus, toy::step_of;

namespace {

Transform backward() {
  return {.name = "training_step", .promises = {"gradients"}, .apply = [](Step step) { return step; }};
}
Transform clip() {
  return {.name = "clip_global_norm",
          .needs = {"gradients"},
          .forbids = {"optimized"},
          .promises = {"clipped"},
          .apply = [](Step step) { return step; }};
}
Transform optimize() {
  return {.name = "optimize",
          .needs = {"gradients"},
          .forbids = {"optimized"},
          .promises = {"optimized"},
          .apply = [](Step step) { return step; }};
}

Step start() {
  Graph graph;
  return step_of(graph, {{"y", negate(graph.input("x", f32, {3}))}});
}

}  // namespace

TEST_CASE("transforms are recorded with what they promise", "[core][graph]") {
  const Step step = start() | backward() | clip() | optimize();
  CHECK(step.history() == std::vector<std::string>{"training_step", "clip_global_norm", "optimize"});
  CHECK(step.facts.contains("clipped"));
}

TEST_CASE("a transform works on a graph of its own", "[core][graph]") {
  const Step before = start();
  const Transform more{.name = "more", .apply = [](Step step) {
                         step.set_fetch("z", negate(step.fetch("y")));
                         return step;
                       }};
  const Step after = before | more;
  CHECK(before.graph.size() == 2);
  CHECK(after.graph.size() == 3);
  CHECK(after.has_fetch("z"));
  CHECK_FALSE(before.has_fetch("z"));
  CHECK(after.find(before.fetch("y")) == after.fetch("y"));
}

TEST_CASE("a wrong order names both transforms and the right order", "[core][graph]") {
  CHECK_THROWS_WITH(start() | backward() | optimize() | clip(),
                    ContainsSubstring("clip_global_norm must come before optimize") &&
                        ContainsSubstring("the right order: training_step | clip_global_norm | optimize"));
}

TEST_CASE("a transform whose need nobody met says what is missing", "[core][graph]") {
  CHECK_THROWS_WITH(start() | clip(), ContainsSubstring("clip_global_norm needs 'gradients'") &&
                                          ContainsSubstring("hint: put a transform that promises 'gradients' before"));
}

TEST_CASE("a problem of the graph stops the next transform", "[core][graph]") {
  Step step = start();
  plus(step.fetch("y"), step.graph.input("b", f32, {4}));
  CHECK_THROWS_WITH(step | backward(), ContainsSubstring("do not broadcast"));
}

TEST_CASE("a step that a transform broke is refused", "[core][graph]") {
  const Transform breaking{.name = "breaking", .apply = [](Step step) {
                             Graph other;
                             step.set_fetch("y", other.input("x", f32, {3}));
                             return step;
                           }};
  CHECK_THROWS_WITH(
      start() | breaking,
      ContainsSubstring("transform 'breaking' (step_test.cpp:") &&
          ContainsSubstring(
              "leaves a step that is not consistent: the fetch 'y' belongs to another graph than the step; hint: "
              "values of the step that came in are step.find(value)"));
}

TEST_CASE("an unknown fetch is answered with the names there are", "[core][graph]") {
  Step step = start();
  step.set_fetch("loss", step.fetch("y"));
  CHECK_THROWS_WITH(step.fetch("losss"), ContainsSubstring("publishes no 'losss'; there are: y, loss"));
}

TEST_CASE("losses add and scale", "[core][graph]") {
  Graph graph;
  const Value sum = graph.input("sum", f32, {}), weight = graph.input("weight", f32, {});
  const Loss loss = 0.5 * (Loss(LossTerm{1, sum, weight}) + Loss(sum) * 2.0);
  REQUIRE(loss.terms.size() == 2);
  CHECK(loss.terms[0].coefficient == 0.5);
  CHECK(loss.terms[1].coefficient == 1.0);
  CHECK(loss.terms[1].weight.absent());
}

TEST_CASE("a step moved to another graph takes all its values along", "[core][graph]") {
  Graph graph;
  const Value w = graph.parameter("w", {f32, {3}}, init::zeros());
  const Value g = negate(w);
  Step step = step_of(graph, {{"g", g}});
  step.parameters = {w};
  step.gradients = {{w, g, {.scaled = true}}};
  step.updates = {{w, plus(w, g)}};
  const Graph copy = graph.clone();
  const Step moved = step.over(copy);
  CHECK(moved.parameters[0].graph() == copy);
  CHECK(moved.gradients[0].value.graph() == copy);
  CHECK(moved.gradients[0].tags.scaled);
  CHECK(moved.updates[0].value.graph() == copy);
  CHECK(moved.fetch("g").graph() == copy);
  CHECK(moved.gradient_of(w)->value == copy.find(g));
  CHECK(moved.gradient_of(g) == nullptr);
}

TEST_CASE("every value of a step is visited once, says what it is, and moves with the step", "[core][graph]") {
  Graph graph;
  std::vector<Value> made;
  auto next = [&] {
    made.push_back(graph.input(fmt::format("v{}", made.size()), f32, {}));
    return made.back();
  };
  Step step;
  step.graph = graph;
  const Value sum = next(), weight = next();
  step.loss = LossTerm{1, sum, weight};
  step.loss_value = next();
  step.seeds = {next()};
  step.parameters = {next()};
  step.fetches = {{"y", next()}};
  const Value state = next(), value = next();
  step.updates = {{state, value}};
  step.taken = next();
  step.due = next();
  step.gradient_weight = next();
  const Value scale = next(), tracker = next();
  step.loss_scale = LossScale{scale, tracker, {}};
  const Value parameter = next(), gradient = next();
  step.gradients = {{parameter, gradient, {}}};

  std::vector<Value> seen;
  std::vector<std::string> words;
  const Graph copy = graph.clone();
  step.over(copy).each_value([&](const Value& each, const StepRole& role) {
    CHECK(each.graph() == copy);
    seen.push_back(graph.value(each.ref()));
    words.push_back(role.str());
  });
  CHECK(seen == made);
  CHECK(words == std::vector<std::string>{
                     "the sum of a loss term", "the weight of a loss term", "the loss", "a seed of the backward pass",
                     "a parameter", "the fetch 'y'", "an updated state", "the update of 'v6'", "the flag 'taken'",
                     "the flag 'due'", "the weight of the gradients", "the loss scale", "the tracker of the loss scale",
                     "a gradient's parameter", "the gradient of 'v13'"});
  CHECK(step.roots() == std::vector<Value>{made[5], state, value});
  CHECK(step.values([](const StepRole& role) { return role.is_once_a_step(); }) ==
        std::vector<Value>{step.loss_value, made[5], value, step.taken, step.due, step.gradient_weight, gradient});
  CHECK(step.values([](const StepRole& role) { return role.is_of_gradients(); }) ==
        std::vector<Value>{step.taken, step.due, step.gradient_weight, scale, tracker, gradient});
}

TEST_CASE("an update that is given to a graph waits there until a step takes it", "[core][graph]") {
  Graph graph;
  const Value n = graph.state("n", {f32, {3}}, init::zeros());
  Step step = step_of(graph, {{"n", n}});
  graph.update(n, negate(n));
  REQUIRE(graph.updates().size() == 1);
  CHECK_THROWS_WITH(verify(step), ContainsSubstring("the graph has an update of 'n', which the step has not taken; "
                                                    "hint: step.take_updates()"));
  step.take_updates();
  CHECK(graph.updates().empty());
  REQUIRE(step.updates.size() == 1);
  CHECK(step.updates[0].state == n);
  CHECK(step.updates[0].of_graph);
  CHECK_NOTHROW(verify(step));
}
