#include <weft/graph/at_batch.h>
#include <weft/graph/verify.h>

#include <graph/toy_ops.h>
#include <support/catch.h>

using namespace weft;
using toy::negate, toy::plus, toy::view_as, toy::fill, toy::step_of;

TEST_CASE("every value follows the batch, through merged axes and attributes", "[core][graph]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 12), time = graph.dim("time", 5);
  const Value x = graph.input("x", f32, {batch, time, 4});
  const Value rows = view_as(x, {batch * time, 4});
  const Value y = plus(view_as(rows, {batch, time, 2, 2}), fill(graph, {batch, 1, 1, 1}));
  const Step step = step_of(graph, {{"y", negate(y)}});
  const Step small = at_batch(step, 3);
  verify(small);
  CHECK(small.find(x).type().str() == "f32[batch=3, time=5, 4]");
  CHECK(small.find(rows).type().str() == "f32[batch*time=15, 4]");
  CHECK(small.fetch("y").shape() == Shape{3, 5, 2, 2});
  CHECK(small.graph.extent(Symbol("batch")) == 3);
  CHECK(step.graph.extent(Symbol("batch")) == 12);
  CHECK(step.fetch("y").shape() == Shape{12, 5, 2, 2});
  CHECK(at_batch(small, 12).find(y).type().str() == y.type().str());
  CHECK(at_batch(step, 12).graph == graph);
}

TEST_CASE("batch states come from the shapes of sources and the rules of ops", "[core][graph]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 12);
  const Value x = graph.input("x", f32, {3, batch});
  const Value w = graph.parameter("w", {f32, {12}}, init::zeros());
  const Value y = plus(w, x);
  const Value rows = view_as(x, {3 * batch});
  const auto states = batch_states(graph);
  CHECK(states[x.ref().node][0] == BatchState::split_at(1));
  CHECK(states[w.ref().node][0] == BatchState{});
  CHECK(states[y.ref().node][0] == BatchState::split_at(1));
  CHECK(states[rows.ref().node][0].axis == 0);
}

TEST_CASE("without a batch every value is free of it", "[core][graph]") {
  Graph graph;
  const Value y = negate(graph.input("x", f32, {3}));
  CHECK(batch_states(graph)[y.ref().node][0] == BatchState{});
  CHECK_THROWS_WITH(at_batch(graph, 2), ContainsSubstring("no extent of this graph is named 'batch'") &&
                                            ContainsSubstring("hint: declare the batch"));
}

TEST_CASE("a reshape to a number that only equals the batch is blamed on its line", "[core][graph]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 12);
  const Value x = graph.input("x", f32, {batch, 4});
  const auto scope = graph.scope("head");
  const Value y = view_as(x, {12, 2, 2});
  const unsigned line = __LINE__ - 1;
  CHECK_THROWS_AS(at_batch(step_of(graph, {{"y", y}}), 3), UserError);
  CHECK_THROWS_WITH(at_batch(step_of(graph, {{"y", y}}), 3),
                    StartsWith("at_batch(3): ") &&
                        ContainsSubstring(fmt::format("head/view_as (at_batch_test.cpp:{})", line)) &&
                        ContainsSubstring("[12, 2, 2] does not have as many elements as f32[batch=3, 4]") &&
                        ContainsSubstring("hint: an extent was given as a number that only equals the batch of 12: "
                                          "reshape to the Dim, not to a number"));
}

TEST_CASE("a number that equals the batch in another shape is found where it meets the batch", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 12), 4});
  const Value mask = fill(graph, {12, 1});
  const Value y = plus(x, mask);
  CHECK_THROWS_WITH(at_batch(step_of(graph, {{"y", y}}), 3),
                    ContainsSubstring("[plus] shapes [batch=3, 4] and [12, 1] do not broadcast") &&
                        ContainsSubstring("operand 1: f32[12, 1] from fill (at_batch_test.cpp:") &&
                        ContainsSubstring("reshape to the Dim"));
}

TEST_CASE("an output that does not follow the batch its rule promises is refused", "[core][graph]") {
  // Its shape rule reads a number, its batch rule says that the batch stays where it is.
  static const OpDef resize{
      .name = "resize",
      .infer = [](const OpView& view) { return std::vector<TensorType>{{f32, {view.attributes.integer("rows"), 4}}}; },
      .batch = toy::first_state};
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 12), 4});
  const Value y = toy::apply(resize, {x}, {{"rows", std::int64_t{12}}});
  CHECK_THROWS_WITH(at_batch(step_of(graph, {{"y", y}}), 3),
                    ContainsSubstring("resize (at_batch_test.cpp:") &&
                        ContainsSubstring("[resize] output 0 must have 3 at axis 0, got [12, 4]") &&
                        ContainsSubstring("reshape to the Dim"));
}

TEST_CASE("a batch rule that contradicts the types is named", "[core][graph]") {
  static const OpDef lying{
      .name = "lying",
      .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
      .batch = [](const OpView&, std::span<const BatchState>) { return std::vector{BatchState::split_at(1)}; }};
  Graph graph;
  toy::apply(lying, {graph.input("x", f32, {graph.dim("batch", 12), 4})});
  CHECK_THROWS_WITH(batch_states(graph), ContainsSubstring("the batch rule of lying says 'split at axis 1"));
}

TEST_CASE("a parameter or constant with the batch in its shape is refused, a state follows", "[core][graph]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 4);
  const Value cache = graph.state("cache", {f32, {batch, 3}}, init::zeros());
  CHECK(at_batch(graph, 2).find(cache).shape() == Shape{2, 3});
  graph.parameter("w", {f32, {batch, 3}}, init::zeros());
  CHECK_THROWS_WITH(at_batch(graph, 2), ContainsSubstring("a parameter has the batch in its shape [batch=4, 3]"));
}

TEST_CASE("a batch must be positive", "[core][graph]") {
  Graph graph;
  graph.input("x", f32, {graph.dim("batch", 4)});
  CHECK_THROWS_WITH(at_batch(graph, 0), ContainsSubstring("the batch must be positive, got 0"));
}
