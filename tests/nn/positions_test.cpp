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

TEST_CASE("relative position vectors learn in attention", "[core][nn][positions]") {
  for (const std::int64_t own : {std::int64_t{0}, std::int64_t{2}}) {
    Graph graph;
    const Value x = graph.input("x", f64, {1, 6, 2, 4});
    const nn::RelativePositionVectors vectors(
        graph, "vectors",
        {.max_distance = 3, .width = 4, .heads = own, .value_width = 4, .dtype = f64, .init = init::normal(0, 1)});
    CHECK(vectors.keys.shape() == (own == 0 ? Shape{7, 4} : Shape{7, 2, 4}));
    const AttentionOptions options{.causal = true, .bias = vectors(x, 6)};
    const Value y = attention(x, x, x, options) + vectors.of_values(attention_weights(x, x, options));
    Tensor in(f64, {1, 6, 2, 4});
    normal_fill(in.data<double>(), in.size(), 0, random_key(3, 1), 0);
    const GradientCheck result = check_gradients(sin(y), {vectors.keys, vectors.values, x}, {{"x", in}});
    INFO(result.str());
    CHECK(result.passed());
  }
  Graph graph;
  const Value p = graph.input("p", f32, {1, 2, 3, 3});
  const nn::RelativePositionVectors keys_only(graph, "vectors", {.max_distance = 3, .width = 4});
  CHECK_THROWS_WITH(keys_only.of_values(p), ContainsSubstring("no vectors for values"));
  CHECK_THROWS_WITH(nn::RelativePositionVectors(graph, "other", {.max_distance = -2, .width = 4}),
                    ContainsSubstring("'other'") && ContainsSubstring("max_distance -2"));
}

TEST_CASE("disentangled positions learn in attention, and share one table", "[core][nn][positions]") {
  Graph graph;
  const Value x = graph.input("x", f64, {2, 5, 2, 4});
  const Value table = graph.parameter("table", {f64, {6, 3}}, init::normal(0, 1));
  const nn::DisentangledPositions first(graph, "first",
                                        {.max_distance = 3, .width = 3, .heads = 2, .head_width = 4, .dtype = f64}),
      second(graph, "second",
             {.max_distance = 3, .width = 3, .heads = 2, .head_width = 4, .position_to_content = false, .dtype = f64});
  CHECK(graph.find_name("first/query/bias").valid());
  CHECK_FALSE(graph.find_name("second/query/weight").valid());
  const AttentionOptions one = first(table, x, x), two = second(table, x, x);
  CHECK(one.scale == 1 / std::sqrt(12.0));
  CHECK(two.scale == 1 / std::sqrt(8.0));
  // The options are what disentangled_scores makes of the projected table.
  const auto projected = [&](const nn::Linear& by) { return reshape(by(table), {6, 2, 4}); };
  const Value same = disentangled_scores(x, x, projected(first.key), projected(first.query), {.max_distance = 3});
  Tensor in(f64, {2, 5, 2, 4});
  normal_fill(in.data<double>(), in.size(), 0, random_key(3, 1), 0);
  const auto got = evaluate({one.bias, same}, std::vector<Feed>{{"x", in}});
  CHECK(same_bits(got[0], got[1]));
  const Value y = attention(attention(x, x, x, one), x, x, two);
  std::vector<Value> by = graph.parameters();
  by.push_back(x);
  const GradientCheck result = check_gradients(y, by, {{"x", in}}, {.most_elements = 30});
  INFO(result.str());
  CHECK(result.passed());
  const Value longer = graph.parameter("longer", {f64, {8, 3}}, init::zeros());
  CHECK_THROWS_WITH(first(longer, x, x),
                    ContainsSubstring("distances up to 3 need a table of 6 positions, got f64[8, 3]") &&
                        ContainsSubstring("positions_test.cpp:"));
  CHECK_THROWS_WITH(
      nn::DisentangledPositions(
          graph, "none",
          {.max_distance = 3, .width = 3, .head_width = 4, .content_to_position = false, .position_to_content = false}),
      ContainsSubstring("'none'") && ContainsSubstring("a term"));
}
