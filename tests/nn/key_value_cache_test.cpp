// Decoding with a cache against the pass over all tokens at once.
#include <support/catch.h>

#include <weft/nn/key_value_cache.h>
#include <weft/nn/multihead_attention.h>
#include <weft/weft.h>

#include <algorithm>
#include <cmath>

using namespace weft;

namespace {

constexpr std::int64_t vocab = 11, width = 12, heads = 4, kv_heads = 2, layers = 2, examples = 2;

enum class Places { learned, sinusoids, rotary, alibi, buckets, vectors, disentangled };

struct Setting {
  Places places = Places::learned;
  std::int64_t window = 0;
  std::int64_t capacity = 0;  ///< 0: no cache, all tokens at once
  bool counted = false;       ///< a prompt whose lengths differ: an input "counts"
};

// A small decoder; the same code with and without caches.
struct Decoder {
  Graph graph;
  std::vector<nn::KeyValueCache> caches;
  Value logits;

  Decoder(std::int64_t time, const Setting& s) {
    graph.strict(true);
    const Dim batch = graph.dim("batch", examples);
    const Value tokens = graph.input("tokens", i32, {batch, time});
    const Value counts = s.counted ? graph.input("counts", i32, {batch}) : Value{};
    const bool cached = s.capacity > 0;
    for (std::int64_t i = 0; cached && i < layers; ++i)
      caches.emplace_back(graph, fmt::format("cache/{}", i),
                          nn::KeyValueCacheConfig{.batch = batch,
                                                  .capacity = s.capacity,
                                                  .kv_heads = s.places == Places::disentangled ? heads : kv_heads,
                                                  .head_width = width / heads});
    const PositionOffset from = cached ? caches.front().from() : PositionOffset{};
    const Dim time_k = cached ? s.capacity : time;
    const nn::Embedding embedding(graph, "embedding", {.count = vocab, .width = width});
    Value x = embedding(tokens);
    if (s.places == Places::learned)
      x = nn::LearnedPositions(graph, "positions", {.longest = 16, .width = width, .init = init::normal(0, 1)})(x,
                                                                                                                from);
    if (s.places == Places::sinusoids) x = nn::SinusoidalPositions{}(x, from);
    Value bias, table;
    if (s.places == Places::alibi) bias = alibi_bias(graph, heads, time, time_k, from);
    if (s.places == Places::buckets)
      bias = nn::RelativePositionBias(
          graph, "buckets", {.heads = heads, .buckets = {.buckets = 8, .max_distance = 6}, .init = init::normal(0, 1)})(
          time, time_k, from);
    if (s.places == Places::disentangled) table = graph.parameter("positions", {f32, {8, 5}}, init::normal(0, 1));
    for (std::int64_t i = 0; i < layers; ++i) {
      const auto scope = graph.scope(fmt::format("layer/{}", i));
      const nn::MultiheadAttention attention(graph, "attention",
                                             {.width = width,
                                              .heads = heads,
                                              .kv_heads = s.places == Places::disentangled ? heads : kv_heads,
                                              .causal = true,
                                              .window = s.window > 0 ? std::optional(s.window) : std::nullopt});
      const nn::LayerNorm norm(graph, "norm", {.width = width});
      const nn::FeedForward feed_forward(graph, "feed_forward", {.width = width, .hidden = 16});
      nn::AttentionHeads h = attention.project(norm(x));
      if (s.places == Places::rotary) {
        h.q = rotary(h.q, {.width = 2, .base = 50, .from = from});
        h.k = rotary(h.k, {.width = 2, .base = 50, .from = from});
      }
      AttentionOptions options{.bias = bias};
      if (cached) caches[static_cast<std::size_t>(i)].append(h.k, h.v, counts);
      if (s.places == Places::vectors)
        options.bias = nn::RelativePositionVectors(
            graph, "vectors", {.max_distance = 3, .width = width / heads, .init = init::normal(0, 1)})(h.q, time_k,
                                                                                                       from);
      if (s.places == Places::disentangled)
        options = nn::DisentangledPositions(
            graph, "places", {.max_distance = 4, .width = 5, .heads = heads, .head_width = width / heads})(
            table, h.q, cached ? caches[static_cast<std::size_t>(i)].held_keys() : h.k, from);
      x = x +
          (cached ? attention.attend(h.q, caches[static_cast<std::size_t>(i)], options) : attention.attend(h, options));
      x = x + feed_forward(x);
    }
    logits = nn::Linear(graph, "words", {.in = width, .out = vocab})(x);
  }
  Step step() const { return caches.empty() ? inference({logits}) : decoding({logits}); }
};

// Token t of example b.
std::int32_t token(std::int64_t b, std::int64_t t) {
  return static_cast<std::int32_t>((5 * t * t + 3 * t + 4 * b) % vocab);
}

// Tokens from[b], from[b] + 1, ... of each example.
Tensor tokens_from(std::array<std::int64_t, 2> from, std::int64_t time) {
  Tensor tokens(i32, {examples, time});
  for (std::int64_t b = 0; b < examples; ++b)
    for (std::int64_t t = 0; t < time; ++t)
      tokens.data<std::int32_t>()[b * time + t] = token(b, from[static_cast<std::size_t>(b)] + t);
  return tokens;
}

Tensor full_pass(const Setting& s, std::int64_t time, Store& store) {
  Setting whole = s;
  whole.capacity = 0;
  whole.counted = false;
  const Decoder model(time, whole);
  store.add(model.graph);
  Program program(model.step(), store);
  const Tensor tokens = tokens_from({0, 0}, time);
  return program.run({{"tokens", tokens}}).tensor(model.logits).clone();
}

// Largest difference between logits [examples, time, vocab] of tokens that begin at `from` and those of the full pass;
// of the first counts[b] tokens.
double difference(const Tensor& got, std::array<std::int64_t, 2> from, const Tensor& full,
                  std::array<std::int64_t, 2> counts) {
  double worst = 0;
  const std::int64_t time = got.extent(1), all = full.extent(1);
  for (std::int64_t b = 0; b < examples; ++b)
    for (std::int64_t t = 0; t < counts[static_cast<std::size_t>(b)]; ++t)
      for (std::int64_t c = 0; c < vocab; ++c) {
        const double want = full.at((b * all + from[static_cast<std::size_t>(b)] + t) * vocab + c);
        worst = std::max(worst, std::abs(got.at((b * time + t) * vocab + c) - want));
      }
  return worst;
}

}  // namespace

TEST_CASE("key-value cache: a prompt and one token at a time equal the full pass", "[core][nn][attention][cache]") {
  for (const auto& [name, setting] :
       std::vector<std::pair<std::string, Setting>>{{"learned positions", {.places = Places::learned}},
                                                    {"sinusoids", {.places = Places::sinusoids}},
                                                    {"rotary", {.places = Places::rotary}},
                                                    {"alibi", {.places = Places::alibi}},
                                                    {"window", {.places = Places::rotary, .window = 3}},
                                                    {"relative buckets", {.places = Places::buckets}},
                                                    {"relative vectors", {.places = Places::vectors}},
                                                    {"disentangled", {.places = Places::disentangled}}}) {
    DYNAMIC_SECTION(name) {
      Setting s = setting;
      Store store(Graph{}, {.seed = 3});
      const Tensor full = full_pass(s, 9, store);
      s.capacity = 10;
      const Decoder four(4, s), one(1, s);
      Program prompt(four.step(), store), next(one.step(), store);
      const Tensor start = tokens_from({0, 0}, 4);
      CHECK(difference(prompt.run({{"tokens", start}}).tensor(four.logits), {0, 0}, full, {4, 4}) < 1e-5);
      for (std::int64_t t = 4; t < 9; ++t) {
        const Tensor token = tokens_from({t, t}, 1);
        CHECK(difference(next.run({{"tokens", token}}).tensor(one.logits), {t, t}, full, {1, 1}) < 1e-5);
      }
      CHECK(one.caches[1].lengths(store) == std::vector<std::int64_t>{9, 9});
      // The comparison sees where a token stands.
      one.caches[0].crop(store, 2), one.caches[1].crop(store, 2);
      const Tensor token = tokens_from({8, 8}, 1);
      CHECK(difference(next.run({{"tokens", token}}).tensor(one.logits), {8, 8}, full, {1, 1}) > 1e-3);
    }
  }
}

TEST_CASE("key-value cache: examples of different lengths stand each where they are", "[core][nn][attention][cache]") {
  for (const Places places : {Places::learned, Places::rotary, Places::alibi, Places::vectors, Places::disentangled}) {
    Setting s{.places = places, .window = places == Places::rotary ? 4 : 0};
    Store store(Graph{}, {.seed = 4});
    const Tensor full = full_pass(s, 9, store);
    s.capacity = 8;
    Setting counted = s;
    counted.counted = true;
    const Decoder four(4, counted), two(2, s), one(1, s);
    Program prompt(four.step(), store), chunk(two.step(), store), next(one.step(), store);
    const Tensor start = tokens_from({0, 0}, 4), counts = Tensor::of<std::int32_t>({2}, {4, 1});
    const Tensor first = prompt.run({{"tokens", start}, {"counts", counts}}).tensor(four.logits).clone();
    CHECK(difference(first, {0, 0}, full, {4, 1}) < 1e-5);
    CHECK(one.caches[0].lengths(store) == std::vector<std::int64_t>{4, 1});
    const Tensor pair = tokens_from({4, 1}, 2);
    CHECK(difference(chunk.run({{"tokens", pair}}).tensor(two.logits), {4, 1}, full, {2, 2}) < 1e-5);
    for (std::int64_t t = 0; t < 2; ++t) {
      const Tensor token = tokens_from({6 + t, 3 + t}, 1);
      CHECK(difference(next.run({{"tokens", token}}).tensor(one.logits), {6 + t, 3 + t}, full, {1, 1}) < 1e-5);
    }
    CHECK(one.caches[1].lengths(store) == std::vector<std::int64_t>{8, 5});
  }
}

TEST_CASE("key-value cache: of a padded chunk at the end of the capacity, only what counts is written",
          "[core][nn][attention][cache]") {
  Setting s{.places = Places::rotary};
  Store store(Graph{}, {.seed = 4});
  const Tensor full = full_pass(s, 5, store);
  s.capacity = 5;
  s.counted = true;
  const Decoder four(4, s);
  Program chunk(four.step(), store);
  Tensor tokens = tokens_from({0, 0}, 4), counts = Tensor::of<std::int32_t>({2}, {3, 2});
  chunk.run({{"tokens", tokens}, {"counts", counts}});
  tokens = tokens_from({3, 2}, 4), counts = Tensor::of<std::int32_t>({2}, {2, 2});
  const Tensor got = chunk.run({{"tokens", tokens}, {"counts", counts}}).tensor(four.logits).clone();
  CHECK(difference(got, {3, 2}, full, {2, 2}) < 1e-5);
  counts = Tensor::of<std::int32_t>({2}, {0, 2});
  CHECK_THROWS_WITH(chunk.run({{"tokens", tokens}, {"counts", counts}}),
                    ContainsSubstring("example 1 holds 4 of at most 5 tokens, and 2 more"));
  counts = Tensor::of<std::int32_t>({2}, {0, 5});
  CHECK_THROWS_WITH(chunk.run({{"tokens", tokens}, {"counts", counts}}),
                    ContainsSubstring("example 1 appends 5 of 4 tokens"));
  store.tensor("cache/0/length").data<std::int64_t>()[0] = -1;
  counts = Tensor::of<std::int32_t>({2}, {0, 0});
  CHECK_THROWS_WITH(chunk.run({{"tokens", tokens}, {"counts", counts}}),
                    ContainsSubstring("example 0 of the cache is said to hold -1"));
}

TEST_CASE("key-value cache: inference() reads it, decoding() appends to it", "[core][nn][attention][cache]") {
  const Decoder one(1, {.places = Places::rotary, .capacity = 4});
  Store store(one.graph, {.seed = 6});
  Program reads(inference({one.logits}), store), appends(decoding({one.logits}), store);
  const Tensor token = tokens_from({0, 0}, 1);
  const Tensor first = reads.run({{"tokens", token}}).tensor(one.logits).clone();
  CHECK(one.caches[0].lengths(store) == std::vector<std::int64_t>{0, 0});
  CHECK(same_bits(first, appends.run({{"tokens", token}}).tensor(one.logits)));
  CHECK(one.caches[0].lengths(store) == std::vector<std::int64_t>{1, 1});
}

TEST_CASE("key-value cache: cropped and reset it goes on as if the rest had never been",
          "[core][nn][attention][cache]") {
  Setting s{.places = Places::rotary};
  Store store(Graph{}, {.seed = 5});
  const Tensor full = full_pass(s, 6, store);
  s.capacity = 7;
  const Decoder four(4, s), one(1, s);
  Program prompt(four.step(), store), next(one.step(), store);
  const Tensor start = tokens_from({0, 0}, 4), wrong = tokens_from({7, 8}, 1), right = tokens_from({4, 4}, 1);
  prompt.run({{"tokens", start}});
  for (int guess = 0; guess < 3; ++guess) next.run({{"tokens", wrong}});
  for (const nn::KeyValueCache& cache : one.caches) cache.crop(store, 4);
  CHECK(difference(next.run({{"tokens", right}}).tensor(one.logits), {4, 4}, full, {1, 1}) < 1e-5);
  for (const nn::KeyValueCache& cache : one.caches) cache.reset(store);
  CHECK(one.caches[0].lengths(store) == std::vector<std::int64_t>{0, 0});
  CHECK(difference(prompt.run({{"tokens", start}}).tensor(four.logits), {0, 0}, full, {4, 4}) < 1e-5);
  CHECK_THROWS_WITH(one.caches[0].crop(store, -1), ContainsSubstring("'cache/0' cannot be cropped to -1"));
}

TEST_CASE("key-value cache: its bytes are known before, and are what the states take", "[core][nn][attention][cache]") {
  const nn::KeyValueCacheConfig config{
      .batch = 3, .capacity = 50, .kv_heads = 2, .head_width = 5, .value_head_width = 7, .dtype = bf16};
  CHECK(config.bytes_per_token() == 2 * (5 + 7) * 2);
  Graph graph;
  const nn::KeyValueCache cache(graph, "cache", config);
  const Store store(graph);
  CHECK(store.bytes() == static_cast<std::size_t>(config.bytes()));
  CHECK(config.bytes() == 3 * (50 * config.bytes_per_token() + 8));
}

TEST_CASE("key-value cache: a run writes in place, and its arena does not grow with the capacity",
          "[core][nn][attention][cache]") {
  const auto planned = [](std::int64_t capacity) {
    return plan(Decoder(1, {.places = Places::rotary, .capacity = capacity}).step());
  };
  const Plan small = planned(1024), large = planned(4096);
  for (const Update& copied : large.copies) CHECK_THAT(copied.state.name(), EndsWith("/length"));
  CHECK(small.arena_bytes == large.arena_bytes);
  const nn::KeyValueCacheConfig config{
      .batch = examples, .capacity = 4096, .kv_heads = kv_heads, .head_width = width / heads};
  const nn::KeyValueCacheConfig less{
      .batch = examples, .capacity = 1024, .kv_heads = kv_heads, .head_width = width / heads};
  CHECK(large.persistent_bytes - small.persistent_bytes ==
        static_cast<std::size_t>(layers * (config.bytes() - less.bytes())));
}

TEST_CASE("key-value cache: a full one refuses the run and nothing in the store changes",
          "[core][nn][attention][cache][errors]") {
  Setting s{.places = Places::rotary, .capacity = 5};
  const Decoder four(4, s), one(1, s);
  Store store(one.graph, {.seed = 6});
  Program prompt(four.step(), store), next(one.step(), store);
  const Tensor start = tokens_from({0, 0}, 4), token = tokens_from({4, 4}, 1);
  prompt.run({{"tokens", start}});
  next.run({{"tokens", token}});
  // One example alone is full, in the last layer alone: no layer before it has written.
  store.tensor("cache/0/length").data<std::int64_t>()[0] = 3;
  store.tensor("cache/0/length").data<std::int64_t>()[1] = 3;
  store.tensor("cache/1/length").data<std::int64_t>()[0] = 3;
  const Store before = store.clone();
  CHECK_THROWS_WITH(
      next.run({{"tokens", token}}),
      ContainsSubstring("cache/1") && ContainsSubstring("key_value_cache_test.cpp:") &&
          ContainsSubstring("the cache is full: example 1 holds 5 of at most 5 tokens, and 1 more do not fit"));
  for (const auto& [path, cell] : before.cells()) CHECK(same_bits(cell.tensor, store.tensor(path)));
  for (const nn::KeyValueCache& cache : one.caches) cache.crop(store, 4);
  next.run({{"tokens", token}});
  CHECK(one.caches[1].lengths(store) == std::vector<std::int64_t>{4, 5});
}

TEST_CASE("key-value cache: what cannot fit is refused when the graph is checked",
          "[core][nn][attention][cache][errors]") {
  const nn::KeyValueCacheConfig config{.batch = 2, .capacity = 5, .kv_heads = 2, .head_width = 4};
  const auto refused = [&](Shape k, Shape v, const std::string& message) {
    Graph graph;
    nn::KeyValueCache cache(graph, "cache", config);
    cache.append(graph.input("k", f32, k), graph.input("v", f32, v));
    CHECK_FALSE(cache.attend(graph.input("q", f32, {2, 1, 2, 4})).valid());
    CHECK_THROWS_WITH(graph.check(), ContainsSubstring(message) && ContainsSubstring("key_value_cache_test.cpp:"));
  };
  refused({2, 6, 2, 4}, {2, 6, 2, 4}, "a capacity of 5 tokens, and 6 are appended at once");
  refused({3, 1, 2, 4}, {3, 1, 2, 4}, "at most 2 examples, got 3");
  refused({2, 1, 2, 3}, {2, 1, 2, 4}, "as the cache is along axis 3");
  refused({2}, {2}, "expected a cache [batch, capacity, ..]");
  Graph graph;
  nn::KeyValueCache cache(graph, "cache", config);
  const Value k = graph.input("k", f32, {2, 1, 2, 4}), longer = graph.input("longer", f32, {2, 2, 2, 4});
  CHECK_THROWS_WITH(cache.append(k, longer), ContainsSubstring("of the same tokens"));
  CHECK_THROWS_WITH(cache.attend(k, {.causal = true}), ContainsSubstring("'cache' (key_value_cache_test.cpp:") &&
                                                           ContainsSubstring("no place among the keys"));
  CHECK_THROWS_WITH(cache.attend(k, {.window = 2}), ContainsSubstring("no place among the keys"));
  cache.append(k, k);
  CHECK_THROWS_WITH(cache.append(k, k),
                    ContainsSubstring("'cache' (key_value_cache_test.cpp:") && ContainsSubstring("appends once"));
  CHECK_THROWS_WITH(nn::KeyValueCache(graph, "other", {.batch = 2, .capacity = 0, .head_width = 4}),
                    ContainsSubstring("positive sizes") && ContainsSubstring("capacity 0"));
  CHECK_THROWS_WITH(nn::KeyValueCache(graph, "other", {.batch = 2, .capacity = 4, .head_width = 4, .dtype = i32}),
                    ContainsSubstring("must be floating, got i32"));
}

TEST_CASE("key-value cache: keys and values of a memory are computed once", "[core][nn][attention][cache]") {
  const auto build = [](Graph graph, bool prompt) {
    graph.strict(true);
    const nn::Attention attention(graph, "cross", {.width = 8, .heads = 2, .key_width = 6, .value_width = 6});
    nn::KeyValueCache cache(graph, "memory", {.batch = 2, .capacity = 7, .kv_heads = 2, .head_width = 4});
    const Value x = graph.input("x", f32, {2, 3, 8});
    const Value memory = prompt ? graph.input("memory_in", f32, {2, 5, 6}) : Value{};
    if (prompt) {
      const nn::AttentionHeads m = attention.project_memory(memory, memory);
      cache.append(m.k, m.v, graph.input("counts", i64, {2}));
    }
    const Value y = attention.attend(attention.project_queries(x), cache);
    return std::pair(y, prompt ? attention(x, memory, memory, {.lengths = graph.find_name("counts")}) : Value{});
  };
  Graph first, later;
  const auto [y, direct] = build(first, true);
  const Value again = build(later, false).first;
  Store store(first, {.seed = 2});
  Program prompt(decoding({y, direct}), store), next(decoding({again}), store);
  Tensor x(f32, {2, 3, 8}), memory(f32, {2, 5, 6});
  normal_fill(x.data<float>(), x.size(), 0, random_key(1, 1), 0);
  normal_fill(memory.data<float>(), memory.size(), 0, random_key(1, 2), 0);
  const Tensor counts = Tensor::of<std::int64_t>({2}, {5, 3});
  const Result result = prompt.run({{"x", x}, {"memory_in", memory}, {"counts", counts}});
  const Tensor want = result.tensor(direct).clone(), filled = result.tensor(y).clone();
  const Tensor read = next.run({{"x", x}}).tensor(again).clone();
  for (std::int64_t i = 0; i < want.size(); ++i) {
    CHECK(filled.at(i) == Approx(want.at(i)).margin(1e-6));
    CHECK(read.at(i) == Approx(want.at(i)).margin(1e-6));
  }
  CHECK(next.plan().step.updates.empty());
}

TEST_CASE("key-value cache: fewer examples than it is for use the first of its rows", "[core][nn][attention][cache]") {
  const nn::KeyValueCacheConfig config{.batch = 4, .capacity = 6, .kv_heads = 2, .head_width = 4};
  Graph whole, part;
  nn::KeyValueCache all(whole, "cache", config), some(part, "cache", config);
  const auto heads_of = [](Graph graph, std::int64_t n) {
    return nn::AttentionHeads{graph.input("q", f32, {n, 2, 2, 4}), graph.input("k", f32, {n, 2, 2, 4}),
                              graph.input("v", f32, {n, 2, 2, 4})};
  };
  const nn::AttentionHeads a = heads_of(whole, 4), b = heads_of(part, 2);
  all.append(a.k, a.v);
  some.append(b.k, b.v);
  const Value y = all.attend(a.q, {.causal = true}), z = some.attend(b.q, {.causal = true});
  Store store(whole), other(whole);
  Program four(decoding({y}), store), two(decoding({z}), other);
  Tensor x(f32, {4, 2, 2, 4});
  normal_fill(x.data<float>(), x.size(), 0, random_key(1, 1), 0);
  const Tensor half = x.rows(0, 2);
  for (int run = 0; run < 3; ++run) {
    const Tensor want = four.run({{"q", x}, {"k", x}, {"v", x}}).tensor(y).clone();
    const Tensor got = two.run({{"q", half}, {"k", half}, {"v", half}}).tensor(z).clone();
    for (std::int64_t i = 0; i < got.size(); ++i) CHECK(got.at(i) == Approx(want.at(i)).margin(1e-6));
  }
  CHECK(some.lengths(other) == std::vector<std::int64_t>{6, 6, 0, 0});
  CHECK(some.from(2).start.shape() == Shape{2});
}

TEST_CASE("key-value cache: a copy of the store is another conversation", "[core][nn][attention][cache]") {
  Setting s{.places = Places::alibi};
  Store store(Graph{}, {.seed = 8});
  const Tensor full = full_pass(s, 6, store);
  s.capacity = 6;
  const Decoder four(4, s), one(1, s);
  Program prompt(four.step(), store);
  const Tensor start = tokens_from({0, 0}, 4), right = tokens_from({4, 4}, 1), other = tokens_from({8, 7}, 1);
  prompt.run({{"tokens", start}});
  Store fork = store.clone();
  Program here(one.step(), store), there(one.step(), fork);
  there.run({{"tokens", other}});
  CHECK(difference(here.run({{"tokens", right}}).tensor(one.logits), {4, 4}, full, {1, 1}) < 1e-5);
}
