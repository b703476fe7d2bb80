#include <weft/nn/attention.h>
#include <weft/runtime/program.h>

#include <support/catch.h>

using namespace weft;

TEST_CASE("a causal attention is an attention with the causal mask", "[core][nn]") {
  Graph graph;
  const Value x = graph.input("x", f64, {graph.dim("batch", 2), 4, 6});
  const nn::CausalSelfAttention causal(graph, "attention", {.width = 6, .heads = 2, .dtype = f64});
  const nn::Attention& plain = causal;
  Tensor values(f64, {2, 4, 6});
  for (std::int64_t i = 0; i < values.size(); ++i)
    values.data<double>()[i] = static_cast<double>((i * 7) % 11) / 11 - 0.5;
  const auto results = evaluate({causal(x), plain(x, {.causal = true}), plain(x)}, std::vector<Feed>{{"x", values}});
  CHECK(same_bits(results[0], results[1]));
  CHECK_FALSE(same_bits(results[0], results[2]));
}

TEST_CASE("keys and values may have other widths, lengths and fewer heads", "[core][nn]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 2);
  const Value q = graph.input("q", f32, {batch, 3, 8});
  const Value k = graph.input("k", f32, {batch, 5, 6});
  const Value v = graph.input("v", f32, {batch, 5, 10});
  const nn::Attention attend(graph, "attention",
                             {.width = 8, .heads = 4, .kv_heads = 2, .key_width = 6, .value_width = 10});
  CHECK(attend(q, k, v).shape() == Shape{2, 3, 8});
  CHECK(attend.key.weight.shape() == Shape{4, 6});
  CHECK(attend.value.weight.shape() == Shape{4, 10});
  graph.check();
}

TEST_CASE("an attention whose heads do not fit is refused", "[core][nn][errors]") {
  Graph graph;
  CHECK_THROWS_WITH(nn::Attention(graph, "a", {.width = 8, .heads = 3}), ContainsSubstring("multiple of heads"));
  CHECK_THROWS_WITH(nn::Attention(graph, "a", {.width = 8, .heads = 4, .kv_heads = 3}),
                    ContainsSubstring("kv_heads must divide heads"));
  const nn::Attention attend(graph, "a", {.width = 8, .heads = 2});
  CHECK_FALSE(attend(graph.input("x", f32, {2, 8})).valid());
  CHECK_THROWS_WITH(graph.check(), ContainsSubstring("attention_test.cpp"));
}
