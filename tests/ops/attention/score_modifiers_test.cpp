// Modifiers inside the block-wise kernel against the biases that say the same as tensors.
#include <support/catch.h>

#include <weft/weft.h>

#include <cmath>
#include <functional>
#include <string>

using namespace weft;

namespace {

Tensor normal(Tensor::Extents extents, std::uint32_t stream) {
  Tensor drawn(f64, std::move(extents));
  normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(8, stream), 0);
  return drawn;
}

double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.extents() == b.extents());
  double worst = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
  return worst;
}

constexpr std::int64_t time_q = 40, time_k = 150, heads = 6, width = 4;

// y, d_q, d_k, d_v and the gradients of `learned`, of attention with these options; a third of the keys is a cache.
struct Setup {
  Graph graph;
  Value q = graph.input("q", f64, {2, time_q, heads, width}), k = graph.input("k", f64, {2, time_k, heads, width}),
        v = graph.input("v", f64, {2, time_k, heads, width});
  Value learned = graph.input("learned", f64, {32, heads});
  Tensor q_in = normal({2, time_q, heads, width}, 1), k_in = normal({2, time_k, heads, width}, 2),
         v_in = normal({2, time_k, heads, width}, 3), learned_in = normal({32, heads}, 4);

  std::vector<Tensor> run(AttentionOptions options) {
    options.causal = true;
    options.offset = 100;
    const Value y = attention(q, k, v, options);
    const std::vector<Value> d = vector_jacobian({y}, {y}, {q, k, v, learned});
    std::vector<Value> fetched{y, learned};
    for (const Value& value : d)
      if (value.valid()) fetched.push_back(value);
    const std::vector<Feed> feeds{{"q", q_in}, {"k", k_in}, {"v", v_in}, {"learned", learned_in}};
    return evaluate(fetched, feeds);
  }
};

void expect_equal(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    INFO("quantity " << i);
    CHECK(distance(a[i], b[i]) < 1e-12);
  }
}

}  // namespace

TEST_CASE("ALiBi inside the kernel equals its bias", "[core][ops][attention]") {
  Setup s;
  expect_equal(s.run({.score = modifiers::alibi(heads)}),
               s.run({.bias = alibi_bias(s.graph, heads, time_q, time_k, {.offset = 100}, f64)}));
}

TEST_CASE("ALiBi's slopes may be learned", "[core][ops][attention]") {
  Setup s;
  const Value slopes = slice(s.learned, {.axis = 0, .start = 3, .stop = 4});  // [1, heads]
  const Value distances = abs(position_ids(s.graph, time_q, f64, {.offset = 100}).valid()
                                  ? reshape(position_ids(s.graph, time_q, f64, {.offset = 100}), {time_q, 1}) -
                                        position_ids(s.graph, time_k, f64)
                                  : Value{});
  expect_equal(s.run({.score = modifiers::alibi(reshape(slopes, {heads}))}),
               s.run({.bias = -(reshape(slopes, {heads, 1, 1}) * distances)}));
}

TEST_CASE("T5's buckets inside the kernel equal the learned bias, gradient included", "[core][ops][attention]") {
  for (const bool both : {true, false}) {
    Setup s;
    const RelativeBucketOptions options{.buckets = 32, .max_distance = 90, .bidirectional = both};
    const Value ids = relative_bucket_ids(s.graph, time_q, time_k, options, {.offset = 100});  // [time_q, time_k]
    const Value rows = embedding(s.learned, ids);  // [time_q, time_k, heads]
    const auto inside = s.run({.score = modifiers::relative_buckets(s.learned, options)});
    REQUIRE(inside.size() == 6);  // the weight has a gradient
    expect_equal(inside, s.run({.bias = transpose(rows, {2, 0, 1})}));
  }
}

TEST_CASE("clipped distances have one number each", "[core][ops][attention]") {
  Setup s;
  const Value weight = slice(transpose(s.learned, 0, 1), {.axis = 1, .start = 0, .stop = 21});  // [heads, 2 10 + 1]
  Tensor ids(i64, {time_q, time_k});
  for (std::int64_t i = 0; i < time_q; ++i)
    for (std::int64_t j = 0; j < time_k; ++j)
      ids.data<std::int64_t>()[i * time_k + j] = std::clamp<std::int64_t>(j - i - 100, -10, 10) + 10;
  const Value places = s.graph.constant({{i64, {time_q, time_k}}, {ids.raw(), ids.raw() + ids.bytes()}});
  const Value bias = transpose(embedding(transpose(weight, 0, 1), places), {2, 0, 1});
  expect_equal(s.run({.score = modifiers::relative_distances(weight)}), s.run({.bias = bias}));
}

TEST_CASE("a table too large for a copy in each task is summed alike", "[core][ops][attention]") {
  Setup s;
  static_assert(time_q * time_k > 4096);  // AttentionSums::small
  const Value large = broadcast_to(slice(s.learned, {.axis = 0, .start = 0, .stop = 1}), {time_q * time_k, heads});
  const Value table = large * 1.0;  // one number for each pair and head
  const ScoreModifier read = [table](const AttentionScore& at) {
    return at.score + take(table, (at.query * time_k + at.key) * heads + at.head);
  };
  expect_equal(s.run({.score = read}), s.run({.bias = transpose(reshape(table, {time_q, time_k, heads}), {2, 0, 1})}));
}

TEST_CASE("modifiers run one after the other", "[core][ops][attention]") {
  Setup s;
  const ScoreModifier twice = [](const AttentionScore& at) { return at.score * 2.0; };
  expect_equal(s.run({.score = modifiers::chain({twice, modifiers::alibi(heads)})}),
               s.run({.bias = alibi_bias(s.graph, heads, time_q, time_k, {.offset = 100}, f64), .scale = 1.0}));
}

TEST_CASE("modifiers say what does not fit", "[core][ops][attention][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {1, 6, 2, 4}), table = graph.input("table", f32, {2, 8});
  const auto refused = [&](const std::function<ScoreModifier()>& modifier) {
    attention(x, x, x, {.score = modifier()});
    graph.check();
  };
  CHECK_THROWS_WITH(refused([] { return modifiers::alibi(4); }),
                    ContainsSubstring("ALiBi's slopes are of 4 heads, but attention has 2"));
  CHECK_THROWS_WITH(refused([&] { return modifiers::alibi(table); }),
                    ContainsSubstring("must be [heads] of a floating type, got f32[2, 8]"));
  CHECK_THROWS_WITH(refused([&] { return modifiers::relative_buckets(table); }),
                    ContainsSubstring("[buckets=32, heads], got f32[2, 8]"));
  CHECK_THROWS_WITH(refused([&] { return modifiers::relative_distances(table); }),
                    ContainsSubstring("[heads, 2 most + 1], got f32[2, 8]"));
}
