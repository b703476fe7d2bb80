#include <support/catch.h>

#include <weft/weft.h>

#include <algorithm>

using namespace weft;

namespace {

Step fused(const Step& step) { return fuse(lower(step)); }

std::int64_t count(const Step& step, const std::string& op) {
  return std::ranges::count_if(step.graph.ids(), [&](NodeId id) { return step.graph.node(id).op->name == op; });
}

Step two_weights() {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 768), 128});
  const Value w1 = graph.parameter("w1", {f32, {512, 128}}, init::normal(0, 1));
  const Value w2 = graph.parameter("w2", {f32, {128, 512}}, init::normal(0, 1));
  return training_step(
      LossTerm{1, sum(square(linear(relu(linear(x, w1, Value{})), w2, Value{}))), full(graph, {}, f32, 768)});
}

}  // namespace

TEST_CASE("each product that is accumulated becomes one node, in every precision", "[core][ops][lowering]") {
  const Step step = two_weights();
  CHECK(count(fused(step | accumulate(3) | optimize(adamw())), "matmul_accumulate") == 2);
  CHECK(count(fused(step | mixed_precision(bf16) | accumulate(3) | optimize(adamw())), "matmul_accumulate") == 2);
  CHECK(count(fused(step | optimize(adamw())), "matmul_accumulate") == 0);
}

TEST_CASE("a product of a few tiles stays apart", "[core][ops][lowering]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 6), 5}),
              w = graph.parameter("w", {f32, {7, 5}}, init::normal(0, 1));
  const Step step = training_step(LossTerm{1, sum(square(linear(x, w, Value{}))), full(graph, {}, f32, 6)});
  CHECK(count(fused(step | accumulate(3) | optimize(adamw())), "matmul_accumulate") == 0);
}

TEST_CASE("an accumulator that is fetched stays, and is found by what it gathers", "[core][ops][lowering]") {
  Step step = two_weights() | accumulate(3);
  const Value total = step.gradients.front().value;
  step.set_fetch("gradient", total);
  const Step lowered = fused(step);
  CHECK(count(lowered, "accumulate_sum") >= 1);
  CHECK(lowered.fetch("gradient").node().op->name == "accumulate_sum");
}
