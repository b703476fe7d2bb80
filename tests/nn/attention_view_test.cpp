#include <weft/nn/attention_view.h>
#include <weft/nn/gpt.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/runtime/program.h>

#include <support/catch.h>

using namespace weft;

TEST_CASE("the weights of every attention are found by its path, and give its output", "[core][nn][attention_view]") {
  Graph graph;
  const Value tokens = graph.input("tokens", i32, {2, 5});
  const nn::Gpt gpt(graph, {.vocab = 7, .layers = 3, .heads = 2, .width = 8, .context = 5, .dtype = f64});
  const Value logits = gpt(tokens);
  const auto views = nn::attention_views({logits});
  REQUIRE(views.size() == 3);
  const Tensor ids = Tensor::of<std::int32_t>({2, 5}, {0, 1, 2, 3, 4, 6, 5, 4, 3, 2});
  for (std::size_t i = 0; i < views.size(); ++i) {
    CHECK(views[i].path == fmt::format("decoder/{}/attention", i));
    const Value v = graph.value(views[i].y.node().operands[2]);  // [batch, time, heads, width]
    const auto got = evaluate({views[i].weights, v, views[i].y}, std::vector<Feed>{{"tokens", ids}}, 3);
    CHECK(got[0].extents() == std::vector<std::int64_t>{2, 2, 5, 5});
    for (std::int64_t b = 0; b < 2; ++b)
      for (std::int64_t h = 0; h < 2; ++h)
        for (std::int64_t q = 0; q < 5; ++q) {
          const auto weight = [&](std::int64_t k) { return got[0].at(((b * 2 + h) * 5 + q) * 5 + k); };
          double sum = 0, y = 0;
          for (std::int64_t k = 0; k < 5; ++k) {
            if (k > q) CHECK(weight(k) == 0);
            sum += weight(k);
            y += weight(k) * got[1].at(((b * 5 + k) * 2 + h) * 4);
          }
          CHECK(sum == Approx(1).epsilon(1e-12));
          CHECK(got[2].at(((b * 5 + q) * 2 + h) * 4) == Approx(y).epsilon(1e-9));
        }
  }
}

TEST_CASE("only attentions that the roots are made from are found", "[core][nn][attention_view]") {
  Graph graph;
  const Value x = graph.input("x", f32, {1, 4, 2, 3});
  const Value first = attention(x, x, x), second = attention(first, first, first);
  CHECK(nn::attention_views({first * 2.0}).size() == 1);
  const auto both = nn::attention_views({second, first});
  REQUIRE(both.size() == 2);
  CHECK(both[0].y == first);
  CHECK(both[1].path == second.node().name);  // in no scope
  CHECK(nn::attention_views({x}).empty());
  CHECK_THROWS_WITH(nn::attention_views({}), ContainsSubstring("got none"));
  Graph other;
  CHECK_THROWS_WITH(nn::attention_views({first, other.input("x", f32, {1})}), ContainsSubstring("one graph"));
}
