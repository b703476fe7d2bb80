// The attention family from end to end: every way to write it, what may be added to its scores, which pairs may exist,
// what it costs, and where its tokens stand. One section for each row of "Attention" and "Positions", in order.
#include <weft/weft.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>
#include <vector>

using namespace weft;

namespace {

void title(const std::string& text) {
  std::cout << fmt::format("\n--- {} {}\n", text, std::string(100 - text.size(), '-'));
}

// Tensors that lie in one graph and what feeds them.
struct Sheet {
  Graph graph;
  std::vector<std::pair<std::string, Tensor>> fed;

  Value draw(std::vector<std::int64_t> extents, double deviation = 1) {
    Tensor x(f32, extents);
    normal_fill(x.data<float>(), x.size(), 0, random_key(1, static_cast<std::uint32_t>(fed.size() + 1)), 0);
    for (std::int64_t i = 0; i < x.size(); ++i) x.data<float>()[i] *= static_cast<float>(deviation);
    return feed(x);
  }
  Value feed(const Tensor& x) {
    fed.emplace_back(fmt::format("x{}", fed.size()), x);
    return graph.input(fed.back().first, x.dtype(), Shape(x.extents()));
  }
  std::vector<Tensor> run(const std::vector<Value>& values) const {
    std::vector<Value> all = values;
    std::vector<Feed> feeds;
    for (const auto& [name, tensor] : fed) {
      feeds.emplace_back(name, tensor);
      all.push_back(graph.find_name(name));  // what nobody reads must not be fed
    }
    std::vector<Tensor> results = evaluate(all, feeds);
    results.resize(values.size());
    return results;
  }
  Tensor run(const Value& value) const { return run(std::vector<Value>{value}).front(); }
};

void show(const std::string& name, const Value& value) {
  std::cout << fmt::format("{:<44} {}\n", name, value.type().str());
}

// The weights of head 0 as text.
void show_weights(const Sheet& sheet, const Value& weights, const std::vector<std::string>& words = {}) {
  std::cout << heat_map({{.title = {}, .weights = sheet.run(weights), .rows = words, .columns = words}}, {.heads = {0}})
                   .str({.digits = true});
}

// --- Attention -------------------------------------------------------------------------------------------------------

void configuration() {
  title("Configuration");
  Graph graph;
  const Value x = graph.input("x", f32, {2, 10, 48});
  const nn::MultiheadAttention attention(graph, "attention",
                                         {.width = 48,
                                          .heads = 4,
                                          .kv_heads = 2,
                                          .head_width = 16,
                                          .value_head_width = 8,
                                          .dropout = 0.1,
                                          .out_dropout = 0.1,
                                          .temperature = 1.2,
                                          .causal = true});
  show("attention of 4 heads, keys 16 and values 8 wide", attention(x));
  for (const Value& parameter : graph.parameters()) show("  " + parameter.name(), parameter);
  try {
    nn::MultiheadAttention(graph, "wrong", {.width = 50, .heads = 4});
  } catch (const UserError& error) {
    std::cout << "refused: " << error.what() << "\n";
  }
}

void scaled_dot_product() {
  title("Scaled dot product");
  Sheet s;
  // Queries, keys and values are [batch, time, heads, width].
  const Value q = s.draw({1, 6, 2, 8}), k = s.draw({1, 6, 2, 8}), v = s.draw({1, 6, 2, 8});
  const Value y = attention(q, k, v);                              // softmax(q k^T / sqrt(8)) v
  const Value soft = attention_weights(q, k, {.temperature = 4});  // [batch, heads, time_q, time_k]
  show("attention(q, k, v)", y);
  show("attention_weights(q, k, {.temperature = 4})", soft);
  show_weights(s, soft);
}

void masks() {
  title("Masks");
  Sheet s;
  const std::vector<std::string> words{"the", "cat", "sat", "<pad>", "<pad>"};
  const Value x = s.draw({1, 5, 1, 8});
  const Value tokens = s.feed(Tensor::of<std::int64_t>({1, 5}, {7, 3, 9, 0, 0}));
  std::cout << "causal: each word sees what came before\n";
  show_weights(s, attention_weights(x, x, {.causal = true}), words);
  std::cout << "padding_mask(tokens, 0): nobody sees the padding\n";
  show_weights(s, attention_weights(x, x, {.mask = padding_mask(tokens, 0)}), words);
  const Value lengths = s.feed(Tensor::of<std::int64_t>({1}, {0}));
  const Value nothing = attention(x, x, x, {.lengths = lengths});
  std::cout << fmt::format("a query without keys gives zeros: largest {}\n",
                           max_abs_difference(s.run(nothing), Tensor(f32, {1, 5, 1, 8})));
}

void stable_softmax() {
  title("Stable softmax");
  Sheet s;
  const Value q = s.draw({1, 4, 1, 8}, 100), k = s.draw({1, 4, 1, 8}, 100);
  std::cout << "scores in the thousands\n";
  show_weights(s, attention_weights(q, k));
  std::cout << "clipped to +-2, and capped by 2 tanh(s / 2)\n";
  show_weights(s, attention_weights(q, k, {.clip = 2}));
  show_weights(s, attention_weights(q, k, {.soft_cap = 2}));
}

void multi_head() {
  title("Multi-head");
  Graph graph;
  const Value x = graph.input("x", f32, {2, 5, 32}), memory = graph.input("memory", f32, {2, 9, 24});
  const nn::MultiheadAttention self(graph, "self", {.width = 32, .heads = 4});
  const nn::MultiheadAttention cross(graph, "cross", {.width = 32, .heads = 4, .key_width = 24, .value_width = 24});
  const nn::MultiheadAttention grouped(graph, "grouped", {.width = 32, .heads = 4, .kv_heads = 1, .bias = false});
  const auto [y, weights] = cross.with_weights(x, memory, memory);
  show("self-attention", self(x));
  show("cross-attention to a memory of 9", y);
  show("its weights, head by head", weights);
  show("multi-query attention", grouped(x));
  show("  its packed weight [(4 + 2) 8, 32]", grouped.in_proj_weight);
}

void differentiable_bias() {
  title("Differentiable bias");
  Sheet s;
  const Value x = s.draw({2, 6, 2, 8}), bias = s.draw({2, 6, 6});  // [heads, time_q, time_k]
  const Value y = attention(x, x, x, {.bias = bias});
  show("d loss / d bias", gradient(sum_squares(y), {bias}).front());
  // A function of the score runs inside the block-wise kernel; what it reads gets its gradient.
  const Value slope = s.draw({2, 1, 1});
  const Value z = attention(x, x, x, {.score = [&](const AttentionScore& at) {
                              return at.score - slope * cast(abs(at.position - at.key), f32);
                            }});
  show("d loss / d slope", gradient(sum_squares(z), {slope}).front());
}

std::size_t arena(std::int64_t time, AttentionMethod method) {
  Graph graph;
  const Value x = graph.parameter("x", {f32, {1, time, 4, 32}}, init::normal(0, 1));
  return plan(training_step(Loss(sum(attention(x, x, x, {.causal = true, .method = method}))))).arena_bytes;
}

void flash() {
  title("Flash: block-wise, exact, never a T x T buffer");
  for (const std::int64_t time : {512, 1024, 2048})
    std::cout << fmt::format("T = {:<5} block-wise {:>10}    plain {:>10}\n", time,
                             readable_bytes(arena(time, AttentionMethod::block_wise)),
                             readable_bytes(arena(time, AttentionMethod::plain)));
}

void sparse_patterns() {
  title("Sparse patterns");
  Sheet s;
  const Value x = s.draw({1, 12, 1, 8}), long_ = s.draw({1, 2048, 1, 8});
  std::cout << "strided(2, 4), and a local window with a global first token\n";
  show_weights(s, attention_weights(x, x, {.pairs = pairs::strided(2, 4)}));
  show_weights(s, attention_weights(x, x, {.pairs = pairs::local(2) | pairs::global(1)}));
  std::cout << "a pattern of one's own: keys of the same parity as the query\n";
  const PairPattern parity = [](const AttentionPlace& p) { return equal(remainder(p.query - p.key, 2), 0); };
  show_weights(s, attention_weights(x, x, {.pairs = parity}));
  std::cout << "the highest quarter of each query's scores\n";
  show_weights(s, attention_weights(x, x, {.keep_share = 0.25}));
  std::cout << "T = 2048, local(64) | global(1): "
            << pair_report(attention(long_, long_, long_, {.pairs = pairs::local(64) | pairs::global(1)})).str()
            << "\n";
}

void local() {
  title("Local: cost linear in T");
  Sheet s;
  const Value x = s.draw({1, 9, 1, 8});
  std::cout << "window 3, stride 2: i sees j iff some m has both in [2 m, 2 m + 3)\n";
  show_weights(s, attention_weights(x, x, {.window = 3, .window_stride = 2}));
  for (const std::int64_t time : {4096, 16384}) {
    Graph graph;
    const Value y = graph.input("y", f32, {1, time, 1, 8});
    std::cout << fmt::format("T = {:<6} {}\n", time,
                             pair_report(attention(y, y, y, {.causal = true, .window = 256})).str());
  }
}

void long_sequences() {
  title("Long-sequence advice");
  std::cout << attention_advice({.heads = 12, .time = 8192}, {.bytes = 400 << 20}) << "\n";
}

void dropout_rows() {
  title("Dropout, of the weights and of the output, only while training");
  Graph graph;
  const Value x = graph.input("x", f32, {2, 6, 32});
  const nn::Attention attention(graph, "attention", {.width = 32, .heads = 4, .dropout = 0.3, .out_dropout = 0.3});
  const Value y = attention(x);
  const auto random = [](const Step& step) {
    std::int64_t count = 0;
    for (const NodeId id : step.graph.ids()) count += step.graph.node(id).attributes.has("stream") ? 1 : 0;
    return count;
  };
  std::cout << fmt::format("nodes that draw: training {}, evaluation {}\n", random(training_step(Loss(sum(y)))),
                           random(evaluation(Loss(sum(y)), {y})));
}

void properties() {
  title("Properties");
  Sheet s;
  const Value eye = s.feed(Tensor::of<float>({1, 4, 1, 4}, {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}));
  std::cout << "Q = K = V = identity: the diagonal is largest, rows sum to one\n";
  show_weights(s, attention_weights(eye, eye, {.scale = 2}));
  const Value x = s.draw({2, 7, 2, 8});
  const std::vector<Value> d = gradient(sum_squares(attention(x, x * 1.0, x * 1.0)), {x});
  std::cout << fmt::format("gradient norm {:.3f}\n", std::sqrt(s.run(sum_squares(d.front())).at(0)));
}

// One graph for each number of new tokens; they share the cache by its name.
struct Decoder {
  Graph graph;
  Value x, y;
  nn::KeyValueCache cache;

  explicit Decoder(std::int64_t time) {
    x = graph.input("x", f32, {1, time, 32});
    cache = nn::KeyValueCache(graph, "cache", {.capacity = 64, .kv_heads = 4, .head_width = 8});
    const nn::Attention attention(graph, "attention", {.width = 32, .heads = 4});
    nn::AttentionHeads heads = attention.project(x);
    heads.q = rotary(heads.q, {.from = cache.from()});
    heads.k = rotary(heads.k, {.from = cache.from()});
    y = attention.attend(heads, cache);
  }
};

void key_value_cache() {
  title("Key-value cache");
  Tensor tokens(f32, {1, 12, 32});
  normal_fill(tokens.data<float>(), tokens.size(), 0, random_key(1, 5), 0);
  const Decoder all(12), one(1);
  Store store(all.graph, {.seed = 1});
  Program prompt(decoding({all.y}), store), token(decoding({one.y}), store);
  const Tensor whole = prompt.run({{"x", tokens}}).tensor(all.y.name()).clone();
  all.cache.reset(store);
  double error = 0;
  for (std::int64_t i = 0; i < 12; ++i) {
    Tensor next(f32, {1, 1, 32});
    std::copy_n(tokens.data<float>() + i * 32, 32, next.data<float>());
    const Result result = token.run({{"x", next}});
    for (std::int64_t e = 0; e < 32; ++e)
      error = std::max(error, std::abs(result.tensor(one.y.name()).at(e) - whole.at(i * 32 + e)));
  }
  std::cout << fmt::format("{} bytes a token; 12 tokens one at a time equal the full pass to {:.1e}\n",
                           all.cache.config.bytes_per_token(), error);
  all.cache.crop(store, 5);
  std::cout << fmt::format("after crop(5) it holds {} tokens\n", all.cache.lengths(store).front());
}

// --- Positions -------------------------------------------------------------------------------------------------------

void positions() {
  title("Positions");
  Sheet s;
  Graph& graph = s.graph;
  const Value x = s.draw({2, 6, 32}), q = s.draw({2, 6, 4, 8}), k = s.draw({2, 6, 4, 8});
  show("sinusoidal", nn::SinusoidalPositions{.dropout = 0.1}(x));
  const nn::LearnedPositions learned(graph, "learned", {.longest = 8, .width = 32});
  show("learned, a table of 8", learned(x, {.offset = 2}));
  try {
    learned(x, {.offset = 3});
    graph.check();
  } catch (const UserError& error) {
    std::cout << "refused: " << error.what() << "\n";
  }

  const nn::RelativePositionBias t5(graph, "t5", {.heads = 4});
  show("T5's buckets, as a bias", t5(6, 6));
  show("  and inside the kernel", attention(q, k, k, {.score = modifiers::relative_buckets(t5.table.weight)}));
  const nn::RelativePositionVectors shaw(graph, "shaw", {.max_distance = 4, .width = 8});
  show("vectors added to the keys (Shaw et al.)", shaw(q, 6));
  show("rotary, interleaved, half of the width", rotary(q, {.width = 4, .interleaved = true}));
  show("ALiBi, inside the kernel", attention(q, k, k, {.causal = true, .score = modifiers::alibi(4)}));
  const nn::Embedding table(graph, "deberta", {.count = 8, .width = 32});
  const nn::DisentangledPositions deberta(graph, "disentangled",
                                          {.max_distance = 4, .width = 32, .heads = 4, .head_width = 8});
  show("DeBERTa's terms", attention(q, k, k, deberta(table.weight, q, k)));
  const Value held = s.feed(Tensor::of<std::int64_t>({2}, {3, 17}));  // lengths of a cache, example by example
  show("with a cache's offset", rotary(q, {.from = {.start = held}}));
}

}  // namespace

int main() {
  configuration();
  scaled_dot_product();
  masks();
  stable_softmax();
  multi_head();
  differentiable_bias();
  flash();
  sparse_patterns();
  local();
  long_sequences();
  dropout_rows();
  properties();
  key_value_cache();
  positions();
}
