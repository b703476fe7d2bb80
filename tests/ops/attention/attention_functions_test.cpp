// Score modifiers and patterns of pairs: what transforms, the planner and threads make of them, what patterns skip, and
// what is said when something does not fit.
#include <support/catch.h>

#include <weft/weft.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

using namespace weft;

namespace {

Tensor normal(Tensor::Extents extents, std::uint32_t stream, DType dtype = f32) {
  Tensor drawn(f64, std::move(extents));
  normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(3, stream), 0);
  return drawn.cast(dtype);
}

double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.extents() == b.extents());
  double worst = 0;
  for (std::int64_t i = 0; i < a.size(); ++i)
    if (!(a.at(i) == b.at(i))) worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
  return worst;
}

// Self-attention of `time` places whose modifier has learned slopes and a table, within documents of a text.
Loss documents_model(std::int64_t batch_size, std::int64_t length) {
  Graph graph;
  const Dim batch = graph.dim("batch", batch_size), time = graph.dim("time", length);
  constexpr std::int64_t width = 8, heads = 2;
  const Value x = graph.input("x", f32, {batch, time, width}),
              target = graph.input("target", f32, {batch, time, width});
  const Value document = graph.input("document", i32, {batch, time});
  const nn::Linear in(graph, "in", {.in = width, .out = 3 * width}), out(graph, "out", {.in = width, .out = width});
  const Value slopes = graph.parameter("slopes", {f32, {heads, 1, 1}}, init::normal(0.3, 0.1));
  const Value table = graph.parameter("table", {f32, {heads, 5}}, init::normal(0, 0.5));
  const Value bias = graph.parameter("bias", {f32, {heads, length, length}}, init::normal(0, 0.5));
  const Value packed = in(x);
  const auto part = [&](std::int64_t i) {
    return reshape(slice(packed, {.axis = 2, .start = i * width, .stop = (i + 1) * width}),
                   {batch, time, heads, width / heads});
  };
  const Value y = attention(part(0), part(1), part(2),
                            {.causal = true,
                             .pairs = pairs::documents(document) & !pairs::strided(1, 7),
                             .bias = bias,
                             .soft_cap = 4,
                             .dropout = 0.1,
                             .score = [=](const AttentionScore& s) {
                               const Value distance = s.position - s.key;
                               const Value near = clamp(distance, {.min = -2.0, .max = 2.0}) + 2;
                               return s.score - slopes * cast(abs(distance), f32) + take(table, s.head * 5 + near);
                             }});
  return mse_loss(out(reshape(y, {batch, time, width})), target);
}

EquivalenceOptions options_of(std::int64_t runs = 2) {
  return {.runs = static_cast<int>(runs), .integers = {{"document", 3}}};
}

void call(const std::function<void()>& action) { action(); }

// Builds attention with these options on [1, 6, 2, 4] operands: throws what it says.
void refused(const std::function<AttentionOptions(Graph)>& options) {
  Graph graph;
  const Value x = graph.input("x", f32, {1, 6, 2, 4});
  attention(x, x, x, options(graph));
  graph.check();
}

}  // namespace

TEST_CASE("transforms keep the meaning of attention with modifiers, patterns and biases", "[core][ops][attention]") {
  const Step step = training_step(documents_model(6, 9));
  for (const Step& after : {step | accumulate(3), step | checkpoint(every_block()), step | mixed_precision(bf16),
                            step | scale_loss(static_scale(64)) | clip_global_norm(1.0)}) {
    const Equivalence result = verify_equivalent(step, after, options_of());
    INFO(result.str());
    CHECK(result.passed());
  }
}

TEST_CASE("modifiers, patterns and their gradients have the same bits for 1 to 4 threads", "[core][ops][attention]") {
  // Long enough for several tiles; the bias is summed over the batch by one task after the other, the slopes by copies.
  const Step step = training_step(documents_model(2, 130)) | optimize(sgd({.rate = 0.1}));
  const NamedTensors feeds = random_feeds(step.graph, 1, {.integers = {{"document", 3}}});
  std::vector<Tensor> first;
  for (const int count : {1, 2, 3, 4}) {
    set_threads(count);
    Store store(step, {.seed = 4});
    Program program(step, store);
    std::vector<Feed> fed;
    for (const auto& [name, tensor] : feeds) fed.emplace_back(name, tensor);
    program.run(fed);
    std::vector<Tensor> after;
    for (const Value& parameter : step.parameters) after.push_back(store.tensor(parameter.name()).clone());
    if (first.empty()) first = after;
    for (std::size_t i = 0; i < after.size(); ++i) {
      INFO(step.parameters[i].name() << ", " << count << " threads");
      CHECK(same_bits(after[i], first[i]));
    }
  }
  set_threads(0);
}

TEST_CASE("flash: modified and patterned attention never holds all scores, forward or backward",
          "[core][ops][attention]") {
  const auto arena = [](std::int64_t time, AttentionMethod method) {
    Graph graph;
    const Value x = graph.parameter("x", {f32, {1, time, 2, 16}}, init::normal(0, 1));
    const Value slopes = graph.parameter("slopes", {f32, {2, 1, 1}}, init::normal(0, 1));
    const Value y =
        attention(x, x, x,
                  {.causal = true,
                   .pairs = pairs::local(64) | pairs::strided(1, 256),
                   .clip = 50,
                   .score = [=](const AttentionScore& s) { return s.score - slopes * cast(s.position - s.key, f32); },
                   .method = method});
    return plan(training_step(Loss(sum(y))), {.threads = 2}).arena_bytes;
  };
  const auto scores = [](std::int64_t time) { return static_cast<std::size_t>(2 * time * time) * sizeof(float); };
  CHECK(arena(512, AttentionMethod::plain) > scores(512));  // what is avoided
  CHECK(arena(4096, AttentionMethod::block_wise) < scores(4096) / 4);
  CHECK(arena(8192, AttentionMethod::block_wise) <
        3 * arena(4096, AttentionMethod::block_wise));  // linear: parts do not double
}

TEST_CASE("sparse patterns: they report the share that they skip", "[ops][attention]") {
  Graph graph;
  const auto report = [&](std::int64_t time, const AttentionOptions& options) {
    const Value x = graph.input(fmt::format("x{}", graph.size()), f32, {1, time, 2, 4});
    return pair_report(attention(x, x, x, options));
  };
  const PairReport dense = report(1000, {});
  CHECK(dense.pairs == 2 * 1000.0 * 1000.0);
  CHECK(dense.skipped() == 0);
  CHECK(report(1000, {.causal = true}).pairs == 1000.0 * 1001.0);  // two heads of n (n + 1) / 2
  const PairReport local = report(1000, {.pairs = pairs::local(10)});
  CHECK(local.pairs == 2 * (1000.0 * 19 - 90));  // |i - j| < 10, less what lies outside at both ends
  CHECK(local.skipped() > 0.5);
  CHECK(local.pairs == report(1000, {.window = 10}).pairs);
  CHECK(local.tiles == report(1000, {.window = 10}).tiles);
  // Global tokens: one column and one row of pairs.
  CHECK(report(1000, {.pairs = pairs::global(1)}).pairs == 2 * 1999.0);
  // Blocks on the diagonal of 4 x 4: a quarter of the pairs.
  std::vector<std::vector<bool>> diagonal(4, std::vector<bool>(4, false));
  for (std::size_t i = 0; i < 4; ++i) diagonal[i][i] = true;
  const PairReport blocks = report(1024, {.pairs = pairs::blocks(diagonal, 256)});
  CHECK(blocks.pairs == blocks.all_pairs / 4);
  CHECK(blocks.skipped() > 0.6);
  CHECK_THAT(blocks.str(), ContainsSubstring("25.0 % of the pairs exist"));
}

TEST_CASE("local: i sees j iff some m has both in [m s, m s + w)", "[core][ops][attention]") {
  for (const std::int64_t window : {1, 2, 5, 8})
    for (const std::int64_t stride : {1, 2, 3, 8, 11}) {
      Graph graph;
      const Value x = graph.input("x", f64, {1, 23, 1, 2});
      const AttentionOptions by_window{.window = window, .window_stride = stride},
          by_pattern{.pairs = pairs::local(window, stride)};
      const Tensor x_in = normal({1, 23, 1, 2}, 1, f64);
      const std::vector<Feed> feeds{{"x", x_in}};
      const std::vector<Tensor> p =
          evaluate(std::vector<Value>{attention_weights(x, x, by_window), attention_weights(x, x, by_pattern),
                                      attention(x, x, x, by_window), attention(x, x, x, by_pattern)},
                   feeds);
      CHECK(distance(p[2], p[3]) < 1e-15);
      for (std::int64_t i = 0; i < 23; ++i)
        for (std::int64_t j = 0; j < 23; ++j) {
          bool seen = false;
          for (std::int64_t m = -40; m < 40; ++m) {
            const auto has = [&](std::int64_t place) { return m * stride <= place && place < m * stride + window; };
            seen = seen || (has(i) && has(j));
          }
          CHECK((p[0].at(i * 23 + j) > 0) == seen);
          CHECK((p[1].at(i * 23 + j) > 0) == seen);
        }
    }
}

TEST_CASE("sparse patterns: strided(w, s): i sees j iff |i - j| < w or (i - j) mod s = 0", "[core][ops][attention]") {
  Graph graph;
  const Value x = graph.input("x", f64, {1, 20, 1, 2});
  const Tensor x_in = normal({1, 20, 1, 2}, 1, f64);
  const std::vector<Feed> feeds{{"x", x_in}};
  const Tensor p =
      evaluate(std::vector<Value>{attention_weights(x, x, {.pairs = pairs::strided(2, 6)})}, feeds).front();
  for (std::int64_t i = 0; i < 20; ++i)
    for (std::int64_t j = 0; j < 20; ++j) CHECK((p.at(i * 20 + j) > 0) == (std::abs(i - j) < 2 || (i - j) % 6 == 0));
}

TEST_CASE("sparse patterns: a share to keep leaves the highest scores of each query, at least one, ties to lower keys",
          "[core][ops][attention]") {
  Graph graph;
  const Value q = graph.input("q", f64, {1, 12, 1, 1}), k = graph.input("k", f64, {1, 12, 1, 1});
  // Scores of every query: k itself, with ties.
  const Tensor ones = Tensor::of<double>({1, 12, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
  const Tensor keys = Tensor::of<double>({1, 12, 1, 1}, {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 9});
  const std::vector<Feed> feeds{{"q", ones}, {"k", keys}};
  const Tensor p =
      evaluate(std::vector<Value>{attention_weights(q, k, {.causal = true, .keep_share = 0.3})}, feeds).front();
  for (std::int64_t i = 0; i < 12; ++i) {
    const std::int64_t keep = std::max<std::int64_t>(1, 3 * (i + 1) / 10);
    for (std::int64_t j = 0; j < 12; ++j) {
      std::int64_t higher = 0;  // admitted keys before j in the order
      for (std::int64_t o = 0; o <= i; ++o)
        higher += keys.at(o) > keys.at(j) || (keys.at(o) == keys.at(j) && o < j) ? 1 : 0;
      CHECK((p.at(i * 12 + j) > 0) == (j <= i && higher < keep));
    }
  }
}

TEST_CASE("what does not fit attention is said when it is built", "[core][ops][attention][errors]") {
  const auto with_score = [](ScoreModifier score) {
    return refused([&](Graph) { return AttentionOptions{.score = score}; });
  };
  CHECK_THROWS_WITH(
      with_score([](const AttentionScore& s) { return sum(s.score, {.axes = {-1}, .keep = true}) + s.score; }),
      ContainsSubstring("is not pointwise") && ContainsSubstring("AttentionMethod::plain") &&
          ContainsSubstring("attention_functions_test.cpp"));
  CHECK_THROWS_WITH(with_score([](const AttentionScore& s) { return cast(s.score, f64); }),
                    ContainsSubstring("must give f32 that broadcasts to") && ContainsSubstring("got f64"));
  CHECK_THROWS_WITH(with_score([](const AttentionScore& s) { return s.score + s.key; }), ContainsSubstring("cast"));
  CHECK_THROWS_WITH(with_score([](const AttentionScore&) { return Value{}; }), ContainsSubstring("gave no value"));
  CHECK_THROWS_WITH(with_score([](const AttentionScore& s) { return dropout(s.score, 0.5); }),
                    ContainsSubstring("is not pointwise"));
  CHECK_THROWS_WITH(refused([](Graph graph) {
                      const Value wrong = graph.input("wrong", f32, {5, 1});
                      return AttentionOptions{.score = [=](const AttentionScore& s) { return s.score + wrong; }};
                    }),
                    ContainsSubstring("[5, 1]"));
  CHECK_THROWS_WITH(
      refused([](Graph) { return AttentionOptions{.pairs = pairs::blocks({{true, false}}, 2)}; }),
      ContainsSubstring("a pattern of 1 x 2 blocks of 2 covers 2 queries and 4 keys, but attention has 6 and 6"));
  CHECK_THROWS_WITH(call([] { pairs::blocks({{true}, {true, false}}, 2); }),
                    ContainsSubstring("rows of a pattern of blocks must be of one length"));
  CHECK_THROWS_WITH(call([] { pairs::blocks({}, 2); }), ContainsSubstring("needs at least one block"));
  CHECK_THROWS_WITH(call([] { pairs::local(0); }),
                    ContainsSubstring("the window of a pattern of pairs must be at least 1, got 0"));
  CHECK_THROWS_WITH(call([] { pairs::strided(2, 0); }),
                    ContainsSubstring("the stride of a pattern of pairs must be at least 1, got 0"));
  CHECK_THROWS_WITH(call([] { pairs::global(0); }), ContainsSubstring("the number of global tokens"));
  const auto reads = [](const TensorType& type,
                        const std::function<Value(const AttentionScore&, const Value&)>& score) {
    refused([&](Graph graph) {
      const Value x = graph.input("read", type.dtype, type.shape);
      return AttentionOptions{.score = [=](const AttentionScore& s) { return score(s, x); }};
    });
  };
  const auto wide = [](const AttentionScore& s, const Value& x) { return s.score + cast(x + cast(s.key, f64), f32); };
  CHECK_THROWS_WITH(reads({f64, {6}}, wide),
                    ContainsSubstring("a function of f32 scores cannot read f64[6]; hint: cast it"));
  CHECK_THROWS_WITH(
      reads({f32, {6}}, [](const AttentionScore& s, const Value& x) { return s.score + x + take(x, s.head); }),
      ContainsSubstring("captured value 0 is a table of take() and an operand of another op"));
  CHECK_THROWS_WITH(
      reads({f32, {1, 6, 2}}, [](const AttentionScore& s, const Value& x) { return s.score + s.at_key(x); }),
      ContainsSubstring("at_key needs [batch, time] or [time], got [1, 6, 2]"));
  CHECK_THROWS_WITH(refused([](Graph graph) {
                      Values many;
                      for (int i = 0; i < 17; ++i) many.push_back(graph.input(fmt::format("x{}", i), f32, {6}));
                      return AttentionOptions{.score = [=](AttentionScore s) {
                        for (const Value& x : many) s.score = s.score + x;
                        return s.score;
                      }};
                    }),
                    ContainsSubstring("may read 16 values, not 17"));
  CHECK_THROWS_WITH(with_score([](AttentionScore s) {
                      for (int i = 0; i < 300; ++i) s.score = s.score * 2.0;
                      return s.score;
                    }),
                    ContainsSubstring("at most 512 values"));
  CHECK_THROWS_WITH(with_score([](const AttentionScore& s) {
                      const Constant six{{f32, {6}}, std::vector<std::byte>(24)};
                      return s.score + s.score.graph().constant(six);
                    }),
                    ContainsSubstring("only take() reads one that is no single number"));
  CHECK_THROWS_WITH(refused([](Graph) { return AttentionOptions{.window = -1}; }),
                    ContainsSubstring("window must be at least 1"));
  CHECK_THROWS_WITH(refused([](Graph) { return AttentionOptions{.window = 3, .window_stride = 0}; }),
                    ContainsSubstring("window_stride must be at least 1"));
  CHECK_THROWS_WITH(refused([](Graph) { return AttentionOptions{.keep_share = 1}; }),
                    ContainsSubstring("keep_share must be in (0, 1)"));
  CHECK_THROWS_WITH(refused([](Graph) { return AttentionOptions{.block_queries = 24}; }),
                    ContainsSubstring("block_queries must be a multiple of 16 up to 480 (0: automatic), got 24"));
  CHECK_THROWS_WITH(refused([](Graph) { return AttentionOptions{.block_keys = -1}; }),
                    ContainsSubstring("block_keys must be 1 to 4096 (0: automatic), got -1"));
  CHECK_THROWS_WITH(refused([](Graph) { return AttentionOptions{.clip = -1}; }),
                    ContainsSubstring("clip must be at least 0"));
  CHECK_THROWS_WITH(
      refused([](Graph graph) { return AttentionOptions{.mask = graph.input("m", boolean, {6, 5})}; }),
      ContainsSubstring("mask must broadcast to [batch, heads, time_q, time_k] = [1, 2, 6, 6], got [6, 5]"));
  CHECK_THROWS_WITH(refused([](Graph graph) { return AttentionOptions{.mask = graph.input("m", f32, {6, 6})}; }),
                    ContainsSubstring("must be bool"));

  Graph graph;
  const Value x = graph.input("x", f32, {1, 6, 2, 4}), ids = graph.input("ids", i64, {1, 6});
  CHECK_THROWS_WITH(call([&] { pair_report(attention(x, x, x, {.pairs = pairs::documents(ids)})); }),
                    ContainsSubstring("is known only when the program runs"));
  CHECK_THROWS_WITH(call([&] { pair_report(x + x); }), ContainsSubstring("is no attention but the op add"));
}

TEST_CASE("the plain method takes any function of the scores", "[core][ops][attention]") {
  // A sum over keys: what no block knows.
  Graph graph;
  const Value x = graph.input("x", f64, {1, 5, 1, 2});
  const Value y =
      attention(x, x, x,
                {.score = [](const AttentionScore& s) { return s.score - mean(s.score, {.axes = {-1}, .keep = true}); },
                 .method = AttentionMethod::plain});
  const Tensor x_in = normal({1, 5, 1, 2}, 1, f64);
  const std::vector<Feed> feeds{{"x", x_in}};
  const std::vector<Tensor> got =
      evaluate(std::vector<Value>{y, attention(x, x, x)}, feeds);  // softmax does not see a shift
  CHECK(distance(got[0], got[1]) < 1e-14);
}
