// Transforms of a user's own that break a step, throw, or give updates to its graph.
#include <support/catch.h>

#include <weft/weft.h>

#include <functional>
#include <stdexcept>

using namespace weft;

namespace {

Step start() {
  Graph graph;
  const Value x = graph.input("x", f32, {3}), w = graph.parameter("w", {f32, {3}}, init::ones());
  return training_step(Loss(sum(w * x)));
}

}  // namespace

TEST_CASE("what a transform may not leave behind is said with its name and line", "[core][graph][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3}), w = graph.parameter("w", {f32, {3}}, init::ones());
  const Step step = training_step(Loss(sum(w * x)));
  const auto leaves = [&](const std::string& words, std::function<Step(Step)> apply) {
    const Transform mine{.name = "mine", .apply = std::move(apply)};
    CHECK_THROWS_WITH(step | mine, ContainsSubstring("transform 'mine' (transform_faults_test.cpp:") &&
                                       ContainsSubstring("leaves a step that is not consistent: " + words));
  };
  leaves("'w' has two gradients", [](Step s) {
    s.gradients.push_back(s.gradients.front());
    return s;
  });
  leaves("the gradient of 'w' is tagged scaled, and there is no loss scale", [](Step s) {
    s.gradients.front().tags.scaled = true;
    return s;
  });
  leaves("the gradient of 'w' is tagged as not divided by the weight of the loss, and there is no weight", [](Step s) {
    s.gradients.front().tags.weight_normalised = false;
    return s;
  });
  leaves("the gradient of 'w' is f32[], the parameter f32[3]", [](Step s) {
    s.gradients.front().value = s.loss_value;
    return s;
  });
  leaves("the flag 'taken' must be bool[], it is f32[]", [](Step s) {
    s.taken = s.loss_value;
    return s;
  });
  leaves("the flag 'due' must be bool[], it is bool[3]", [](Step s) {
    s.due = greater(s.graph.find_name("x"), 0.0);
    return s;
  });
  leaves("what gradients are divided by must be one floating number, it is f32[3]", [](Step s) {
    s.gradient_weight = s.graph.find_name("x");
    return s;
  });
  leaves("'x' is updated and is no parameter or state but a result of [input]", [](Step s) {
    s.updates.push_back({s.graph.find_name("x"), s.graph.find_name("w")});
    return s;
  });
  leaves("'w' is updated twice", [](Step s) {
    for (int i = 0; i < 2; ++i) s.updates.push_back({s.graph.find_name("w"), s.graph.find_name("x")});
    return s;
  });
  leaves("two fetches are named 'loss'", [](Step s) {
    s.fetches.push_back({"loss", s.loss_value});
    return s;
  });
}

TEST_CASE("what a transform throws, builds wrongly or lacks is said with its name and line", "[core][graph][errors]") {
  const auto with = [](std::function<Step(Step)> apply) {
    return Transform{.name = "mine", .apply = std::move(apply)};
  };
  CHECK_THROWS_WITH(
      start() | with([](const Step&) -> Step { throw std::runtime_error("no luck"); }),
      ContainsSubstring("transform 'mine' (transform_faults_test.cpp:") && ContainsSubstring("threw no luck"));
  const Transform misfit = with([](Step step) {
    step.graph.find_name("x") + step.graph.input("z", f32, {5});
    return step;
  });
  CHECK_THROWS_WITH(start() | misfit, ContainsSubstring("transform 'mine' (transform_faults_test.cpp:") &&
                                          ContainsSubstring("do not broadcast"));
  CHECK_THROWS_WITH(start() | with(nullptr), ContainsSubstring("transform 'mine' (transform_faults_test.cpp:") &&
                                                 ContainsSubstring("has nothing to apply; hint: .apply ="));
  const Transform nameless{.name = "", .apply = [](Step step) { return step; }};
  CHECK_THROWS_WITH(start() | nameless,
                    ContainsSubstring("a transform (transform_faults_test.cpp:") && ContainsSubstring("has no name"));
}

TEST_CASE("an update that a transform gives to the graph is the step's", "[core][graph]") {
  const Transform counting{.name = "counting", .apply = [](Step step) {
                             const auto phase = step.graph.phase(Phase::step);
                             const Value runs = step.graph.state("runs", {i64, {}}, init::zeros());
                             step.graph.update(runs, runs + 1);
                             return step;
                           }};
  Graph graph;
  const Value x = graph.input("x", f32, {3}), w = graph.parameter("w", {f32, {3}}, init::ones());
  const Step step = training_step(Loss(sum(w * x))) | counting | clip_global_norm(1.0) | optimize(sgd({.rate = 0.1}));
  Store store(step);
  Program program(step, store);
  const Tensor fed(f32, {3});
  for (int i = 0; i < 3; ++i) program.run({{"x", fed}});
  CHECK(store.tensor("runs").at(0) == 3);
}

TEST_CASE("a second update of a state, by a transform through the graph, is refused", "[core][graph][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3}), w = graph.parameter("w", {f32, {3}}, init::ones());
  const Value runs = graph.state("runs", {i64, {}}, init::zeros());
  graph.update(runs, runs + 1);
  const Transform again{.name = "again", .apply = [&](Step step) {
                          step.graph.update(step.find(runs), step.find(runs) + 2);
                          return step;
                        }};
  CHECK_THROWS_WITH(training_step(Loss(sum(w * x))) | again,
                    ContainsSubstring("transform 'again' (transform_faults_test.cpp:") &&
                        ContainsSubstring("'runs' is updated twice"));
  CHECK(graph.updates().size() == 1);  // the step took its copy's
  CHECK(training_step(Loss(sum(w * x))).updates.size() == 1);
  CHECK(evaluation(Loss(sum(w * x))).updates.empty());
  CHECK(evaluation(Loss(sum(w * x))).graph.updates().empty());
}
