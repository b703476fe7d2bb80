// graph/user_line.h: whose line a message begins with, and whose line nodes report.
#include <weft/graph/user_line.h>
#include <weft/weft.h>

#include <support/catch.h>

#include <string>
#include <vector>

using namespace weft;

namespace {

std::string refused() {
  try {
    WEFT_CHECK(false, "{} is refused", "it");
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a message begins with the line of the call that the user wrote, and of no call that is over",
          "[core][graph][errors]") {
  CHECK(refused() == "it is refused");
  {
    const auto users = std::source_location::current();
    const UserLine outer(users);
    const std::string expected = str(users) + ": it is refused";
    CHECK(refused() == expected);
    {
      const UserLine inner(std::source_location::current());  // of the library, which calls itself
      CHECK(refused() == expected);
    }
    CHECK(refused() == expected);
  }
  CHECK(refused() == "it is refused");
}

TEST_CASE("a message that is said within another has the line once", "[core][graph][errors]") {
  const auto users = std::source_location::current();
  const UserLine line(users);
  try {
    WEFT_FAIL("inner");
  } catch (const UserError& error) {
    CHECK(error.reason == "inner");
    CHECK(error.what() == str(users) + ": inner");
    CHECK_THROWS_WITH([&] { WEFT_FAIL("outer: {}", error.reason); }(), str(users) + ": outer: inner");
  }
  Graph graph;
  graph.input("x", f32, {3}) + graph.input("y", f32, {5});
  CHECK_THAT(graph.problems().front().str(), StartsWith("add (" + str(users) + "): [add] "));
}

namespace {

struct Model {
  Graph graph;
  Value x = graph.input("x", f32, {graph.dim("batch", 4), 3});
  Value w = graph.parameter("w", {f32, {3, 3}}, init::ones());
  Loss loss = LossTerm{1, sum(square(tanh(matmul(x, w)))), sum(cast(greater(x, 0.0), f32))};
};

Step named_by_caller(const Step& step, const Transform& transform) {
  const Step made = step | transform;
  INFO(transform.name);
  for (const NodeId id : made.graph.ids()) CHECK(str(made.graph.node(id).where).starts_with("user_line_test.cpp:"));
  return made;
}

}  // namespace

TEST_CASE("every node that a transform of weft's builds reports a line of the user's", "[core][graph]") {
  const Model model;
  for (const bool runs : {false, true}) {
    Step step = training_step(model.loss);
    for (const Transform& transform :
         {mixed_precision(bf16), fetch("x", model.x), scale_loss(dynamic_scale()),
          runs ? accumulate_over_runs(2) : accumulate(2), clip_global_norm(1.0), clip_norm(1.0), clip_value(1.0),
          each_gradient(
              {.name = "mine", .change = "x", .make = [](const GradientContext& c) { return c.gradient * 2.0; }}),
          fetch_gradients(), optimize(adamw()), average_weights(), tap_gradients(), remove_taps(),
          checkpoint(dots_saveable())})
      step = named_by_caller(step, transform);
  }
  const Step whole = default_training_step(model.loss, {.precision = bf16, .micro_batches = 2});
  for (const NodeId id : whole.graph.ids()) CHECK(str(whole.graph.node(id).where).starts_with("user_line_test.cpp:"));
}

TEST_CASE("a transform of a user's own builds nodes with their own lines", "[core][graph]") {
  unsigned line = 0;
  const Transform mine{.name = "mine", .apply = [&](Step step) {
                         line = __LINE__ + 1;
                         step.set_fetch("double", step.loss_value * 2.0);
                         return step;
                       }};
  CHECK_FALSE(mine.called.has_value());
  const Step step = training_step(Model().loss) | mine;
  CHECK(str(step.fetch("double").node().where) == fmt::format("user_line_test.cpp:{}", line));
}

TEST_CASE("whatever a transform of weft's refuses begins with the line of its call", "[core][graph][errors]") {
  const Model model;
  const Step step = training_step(model.loss);
  const Transform late = accumulate(2), gone = fetch("y", Model().x), none = remove_taps();
  const std::string at = fmt::format("user_line_test.cpp:{}: ", __LINE__ - 1);
  CHECK_THROWS_WITH(step | clip_global_norm(1.0) | late, StartsWith(at + "accumulate(2) must come before"));
  CHECK_THROWS_WITH(step | gone, StartsWith(at + "'x' is not in this graph"));
  CHECK_THROWS_WITH(step | none, StartsWith(at + "remove_taps: nothing taps this step"));
}

TEST_CASE("a step that a transform of weft's leaves inconsistent names the user's line and weft's",
          "[core][graph][errors]") {
  const EachGradient twice{.name = "mine", .change = "x", .make = [](const GradientContext& c) {
                             c.step.updates.push_back({c.parameter, c.gradient});
                             c.step.updates.push_back({c.parameter, c.gradient});
                             return c.gradient;
                           }};
  const Transform broken = each_gradient(twice);
  const std::string at = fmt::format("user_line_test.cpp:{}: ", __LINE__ - 1);
  CHECK_THROWS_WITH(training_step(Model().loss) | broken,
                    StartsWith(at + "transform 'mine' (each_gradient.cpp:") &&
                        ContainsSubstring("leaves a step that is not consistent: 'w' is updated twice"));
}
