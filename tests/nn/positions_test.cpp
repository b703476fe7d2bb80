#include <support/catch.h>

#include <weft/weft.h>

using namespace weft;

TEST_CASE("sinusoidal and learned positions are added to the embeddings", "[core][nn][positions]") {
  Graph graph;
  const Value x = graph.input("x", f32, {2, 4, 6});
  const nn::LearnedPositions learned(graph, "positions", {.longest = 9, .width = 6});
  const Tensor zero(f32, {2, 4, 6});
  const auto got =
      evaluate({nn::SinusoidalPositions{}(x, {.offset = 3}), sinusoidal_positions(graph, 4, 6, {.from = {.offset = 3}}),
                learned(x, {.offset = 5}), learned.table.weight * 1.0},
               std::vector<Feed>{{"x", zero}});
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t i = 0; i < 24; ++i) {
      CHECK(got[0].at(b * 24 + i) == got[1].at(i));
      CHECK(got[2].at(b * 24 + i) == got[3].at(30 + i));
    }
}

TEST_CASE("a table of positions that is too short names both lengths", "[core][nn][positions][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {2, 4, 6}), start = graph.input("start", i64, {});
  const nn::LearnedPositions learned(graph, "positions", {.longest = 9, .width = 6});
  CHECK_THROWS_WITH(learned(x, {.offset = 6}), ContainsSubstring("'positions'") &&
                                                   ContainsSubstring("positions_test.cpp:") &&
                                                   ContainsSubstring("end at 9, and positions 6 to 10 are asked for"));
  CHECK_THROWS_WITH(learned(start), ContainsSubstring("embeddings [batch, time, width]"));
  CHECK_THROWS_WITH(nn::SinusoidalPositions{}(start), ContainsSubstring("embeddings [batch, time, width]"));
  // When only the run knows: the row that is not there is named.
  const Tensor zero(f32, {2, 4, 6}), seven = Tensor::of<std::int64_t>({}, {7});
  CHECK_THROWS_WITH(evaluate(learned(x, {.start = start}), {{"x", zero}, {"start", seven}}), ContainsSubstring("9"));
}

TEST_CASE("the relative position bias learns in attention", "[core][nn][positions]") {
  Graph graph;
  const Value x = graph.input("x", f64, {1, 6, 2, 4});
  const nn::RelativePositionBias bias(graph, "bias",
                                      {.heads = 2, .buckets = {.buckets = 8, .max_distance = 5}, .dtype = f64});
  const Value b = bias(6, 6);
  CHECK(b.shape() == Shape{2, 6, 6});
  const Value loss = sum(square(attention(x, x, x, {.bias = b})));
  Tensor in(f64, {1, 6, 2, 4});
  normal_fill(in.data<double>(), in.size(), 0, random_key(3, 1), 0);
  const GradientCheck result = check_gradients(loss, {bias.table.weight}, {{"x", in}});
  INFO(result.str());
  CHECK(result.passed());
  CHECK_THROWS_WITH(nn::RelativePositionBias(graph, "other", {.heads = 2, .buckets = {.buckets = 7}}),
                    ContainsSubstring("multiple of 4, got 7"));
}
