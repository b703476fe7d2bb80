#include <support/catch.h>

#include <weft/weft.h>

using namespace weft;

namespace {

Loss small_loss(Graph& graph) {
  const Value x = graph.input("x", f32, {graph.dim("batch", 4), 3});
  const Value w = graph.parameter("weight", {f32, {3, 2}}, init::normal(0, 1));
  return LossTerm{1, sum(square(matmul(x, w))), full(graph, {}, f32, 4)};
}

}  // namespace

TEST_CASE("what a transform added is what the graph has more", "[core][graph]") {
  Graph graph;
  const Step before = training_step(small_loss(graph));
  const Step after = before | clip_global_norm(1.0) | optimize(adamw({.rate = 0.1}));
  const Changes found = changes(before, after);
  CHECK(found.transforms == std::vector<std::string>{"clip_global_norm", "optimize(adamw)"});
  CHECK(found.removed == 0);
  CHECK(found.nodes == after.graph.size());
  CHECK(found.added == after.graph.size() - before.graph.size());
  std::size_t counted = 0;
  for (const Changes::Count& count : found.ops) {
    CHECK(count.phase == Phase::step);
    counted += count.added;
  }
  CHECK(counted == found.added);
  CHECK(found.published == std::vector<std::string>{"grad_norm", "finite", "rate", "skipped"});
  CHECK_THAT(found.str(),
             ContainsSubstring("+1 adamw") && ContainsSubstring("keeps: updates, skipped, optimizer/exp_avg/weight"));
}

TEST_CASE("removed nodes are counted by their op", "[core][graph]") {
  Graph graph;
  const Step step = training_step(small_loss(graph));
  const Step lowered = lower(step);
  const Changes found = changes(step, lowered);
  CHECK(found.removed == step.graph.size() - lowered.graph.size() + found.added);
  CHECK(found.removed > 0);
  CHECK(changes(step, step).none());
}

TEST_CASE("steps that were built apart cannot be compared", "[core][graph][errors]") {
  Graph a, b;
  CHECK_THROWS_WITH(changes(training_step(small_loss(a)), training_step(small_loss(b))),
                    ContainsSubstring("two forms of one step") && ContainsSubstring("hint"));
}
