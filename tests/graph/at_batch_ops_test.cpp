// A whole model's worth of ops at another batch: the rules of the ops, not of toys.
#include <weft/graph/at_batch.h>
#include <weft/graph/verify.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/movement.h>

#include <graph/toy_ops.h>
#include <support/catch.h>

using namespace weft;

TEST_CASE("heads that are split, moved and merged follow the batch", "[core][graph]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 12), time = graph.dim("time", 5);
  const Value x = graph.input("x", f32, {batch, time, 8});
  const Value heads = transpose(reshape(x, {batch, time, 2, 4}), {0, 2, 1, 3});
  const Value merged = reshape(transpose(heads, {0, 2, 1, 3}), {-1, 8});
  const Value y = merged * 0.5 + broadcast_to(graph.parameter("b", {f32, {8}}, init::zeros()), {batch * time, 8});
  const Step step = toy::step_of(graph, {{"y", y}});
  const Step small = at_batch(step, 3);
  verify(small);
  CHECK(small.find(heads).shape() == Shape{3, 2, 5, 4});
  CHECK(small.find(merged).type().str() == "f32[batch*time=15, 8]");
  CHECK(small.fetch("y").shape() == Shape{15, 8});
  CHECK(batch_states(graph)[y.ref().node][0] == BatchState::split_at(0, 1, 5));
}

TEST_CASE("a baked-in batch in reshape or broadcast_to is refused with its line", "[core][graph]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 12);
  const Value x = graph.input("x", f32, {batch, 8});
  SECTION("reshape") {
    const Value y = reshape(x, {12, 2, 4}) * 2.0;
    const unsigned line = __LINE__ - 1;
    CHECK_THROWS_WITH(at_batch(toy::step_of(graph, {{"y", y}}), 3),
                      ContainsSubstring(fmt::format("reshape (at_batch_ops_test.cpp:{})", line)) &&
                          ContainsSubstring("reshape to the Dim, not to a number"));
  }
  SECTION("reshape to a number beside -1, where the elements would fit") {
    const Value y = reshape(x, {-1, 12}) * 2.0;
    const unsigned line = __LINE__ - 1;
    CHECK_THROWS_WITH(at_batch(toy::step_of(graph, {{"y", y}}), 24),
                      ContainsSubstring(fmt::format("reshape (at_batch_ops_test.cpp:{})", line)) &&
                          ContainsSubstring("reshape to the Dim, not to a number"));
  }
  SECTION("broadcast_to") {
    const Value y = broadcast_to(x, {12, 8}) + 1.0;
    const unsigned line = __LINE__ - 1;
    CHECK_THROWS_WITH(at_batch(toy::step_of(graph, {{"y", y}}), 3),
                      ContainsSubstring(fmt::format("broadcast_to (at_batch_ops_test.cpp:{})", line)) &&
                          ContainsSubstring("reshape to the Dim, not to a number"));
  }
}
