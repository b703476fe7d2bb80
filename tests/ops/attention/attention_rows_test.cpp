// The rows "Attention" and "Positions" of the mission, each under its name; and the row "properties" on every variant.
#include <support/catch.h>

#include <weft/weft.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

using namespace weft;

namespace {

constexpr std::int64_t time_ = 12, heads = 2, width = 6;

Tensor normal(Tensor::Extents extents, std::uint32_t stream) {
  Tensor drawn(f64, std::move(extents));
  normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(21, stream), 0);
  return drawn;
}

// A way to attend, built in a graph for `time_` queries and keys.
struct Variant {
  std::string name;
  std::function<AttentionOptions(Graph)> options;
  bool by_place = false;  ///< pairs or scores depend on where tokens stand
  std::int64_t kv_heads = heads;
};

std::vector<Variant> variants() {
  const auto of = [](AttentionOptions options) { return [options](Graph) { return options; }; };
  std::vector<std::vector<bool>> blocks(3, std::vector<bool>(3, false));
  for (std::size_t i = 0; i < 3; ++i) blocks[i][i] = blocks[i][0] = true;
  return {
      {"dense", of({}), false},
      {"plain", of({.method = AttentionMethod::plain}), false},
      {"causal", of({.causal = true}), true},
      {"window", of({.window = 3}), true},
      {"window with a stride", of({.window = 4, .window_stride = 3}), true},
      {"grouped heads", of({}), false, 1},
      {"temperature", of({.temperature = 0.5}), false},
      {"clip", of({.clip = 50}), false},
      {"soft cap", of({.soft_cap = 30}), false},
      {"strided", of({.pairs = pairs::strided(2, 4)}), true},
      {"local and global", of({.pairs = pairs::local(3) | pairs::global(1)}), true},
      {"blocks", of({.pairs = pairs::blocks(blocks, 4)}), true},
      {"a share of the scores", of({.keep_share = 0.5}), false},
      {"ALiBi", of({.score = modifiers::alibi(heads)}), true},
      {"a modifier", of({.score = [](const AttentionScore& s) { return s.score * 1.5 + 0.1; }}), false},
      {"bias", [](Graph graph) { return AttentionOptions{.bias = full(graph, {heads, 1, time_}, f64, 0.3)}; }, false},
      {"mask", [](Graph graph) { return AttentionOptions{.mask = full(graph, {time_}, boolean, 1)}; }, false},
  };
}

struct Built {
  Graph graph;
  Value q, k, v, y, p;
  explicit Built(const Variant& variant) {
    q = graph.input("q", f64, {1, time_, heads, width});
    k = graph.input("k", f64, {1, time_, variant.kv_heads, width});
    v = graph.input("v", f64, {1, time_, variant.kv_heads, width});
    const AttentionOptions options = variant.options(graph);
    y = attention(q, k, v, options);
    p = attention_weights(q, k, options);
  }
  std::vector<Tensor> run(const std::vector<Value>& values, const Tensor& q_in, const Tensor& k_in,
                          const Tensor& v_in) const {
    std::vector<Value> all = values;
    all.insert(all.end(), {q, k, v});
    const std::vector<Feed> feeds{{"q", q_in}, {"k", k_in}, {"v", v_in}};
    std::vector<Tensor> results = evaluate(all, feeds);
    results.resize(values.size());
    return results;
  }
};

// Token i moves to place (i + 5) mod time.
Tensor moved(const Tensor& x) {
  Tensor to = x.clone();
  const std::int64_t row = x.size() / time_;
  for (std::int64_t i = 0; i < x.size(); ++i) to.data<double>()[(i + 5 * row) % x.size()] = x.at(i);
  return to;
}

}  // namespace

TEST_CASE("properties: rows of weights sum to one, on every variant", "[core][ops][attention]") {
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    const Built built(variant);
    const Tensor p =
        built
            .run({built.p}, normal({1, time_, heads, width}, 1), normal({1, time_, variant.kv_heads, width}, 2),
                 normal({1, time_, variant.kv_heads, width}, 3))
            .front();
    for (std::int64_t row = 0; row < heads * time_; ++row) {
      double sum = 0;
      for (std::int64_t j = 0; j < time_; ++j) sum += p.at(row * time_ + j);
      CHECK(sum == Approx(1).epsilon(1e-14));
    }
  }
}

TEST_CASE("properties: Q = K = V = identity gives weights whose diagonal is the largest, on every variant",
          "[core][ops][attention]") {
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    const Built built(variant);
    const auto identity = [](std::int64_t count) {  // a one-hot row for each place, six places at a time
      Tensor x(f64, {1, time_, count, width});
      for (std::int64_t i = 0; i < time_; ++i)
        for (std::int64_t h = 0; h < count; ++h)
          x.data<double>()[(i * count + h) * width + i % width] = i < width ? 4 : -4;
      return x;
    };
    const Tensor p =
        built.run({built.p}, identity(heads), identity(variant.kv_heads), identity(variant.kv_heads)).front();
    for (std::int64_t row = 0; row < heads * time_; ++row)
      for (std::int64_t j = 0; j < time_; ++j)
        if (j != row % time_) CHECK(p.at(row * time_ + j) < p.at(row * time_ + row % time_));
  }
}

TEST_CASE("properties: without positions, permuting the tokens permutes the output, on every variant",
          "[core][ops][attention]") {
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    const Built built(variant);
    const Tensor q = normal({1, time_, heads, width}, 1), k = normal({1, time_, variant.kv_heads, width}, 2),
                 v = normal({1, time_, variant.kv_heads, width}, 3);
    const Tensor y = built.run({built.y}, q, k, v).front(),
                 other = built.run({built.y}, moved(q), moved(k), moved(v)).front();
    const Tensor expected = moved(y);
    double worst = 0;
    for (std::int64_t i = 0; i < y.size(); ++i) worst = std::max(worst, std::abs(other.at(i) - expected.at(i)));
    // What knows places does not; what does not, does.
    if (variant.by_place) CHECK(worst > 1e-3);
    else CHECK(worst < 1e-13);
  }
}

TEST_CASE("properties: gradient norms of q, k and v are above 1e-8, on every variant", "[core][ops][attention]") {
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    const Built built(variant);
    const std::vector<Value> d = gradient(sum_squares(built.y), {built.q, built.k, built.v});
    for (const Tensor& norm :
         built.run({sum_squares(d[0]), sum_squares(d[1]), sum_squares(d[2])}, normal({1, time_, heads, width}, 1),
                   normal({1, time_, variant.kv_heads, width}, 2), normal({1, time_, variant.kv_heads, width}, 3)))
      CHECK(std::sqrt(norm.at(0)) > 1e-8);
  }
}

TEST_CASE("scaled dot product: softmax(q k^T / (sqrt(d_k) temperature)) v, weights as a second result",
          "[core][ops][attention]") {
  const Variant variant{"", [](Graph) { return AttentionOptions{.temperature = 1.7}; }};
  const Built built(variant);
  const Tensor q = normal({1, time_, heads, width}, 1), k = normal({1, time_, heads, width}, 2),
               v = normal({1, time_, heads, width}, 3);
  const std::vector<Tensor> got = built.run({built.y, built.p}, q, k, v);
  for (std::int64_t h = 0; h < heads; ++h)
    for (std::int64_t i = 0; i < time_; ++i) {
      std::vector<double> e;
      double total = 0;
      for (std::int64_t j = 0; j < time_; ++j) {
        double dot = 0;
        for (std::int64_t d = 0; d < width; ++d)
          dot += q.at((i * heads + h) * width + d) * k.at((j * heads + h) * width + d);
        e.push_back(std::exp(dot / (std::sqrt(static_cast<double>(width)) * 1.7)));
        total += e.back();
      }
      for (std::int64_t j = 0; j < time_; ++j)
        CHECK(got[1].at((h * time_ + i) * time_ + j) == Approx(e[static_cast<std::size_t>(j)] / total).epsilon(1e-12));
      for (std::int64_t d = 0; d < width; ++d) {
        double y = 0;
        for (std::int64_t j = 0; j < time_; ++j)
          y += e[static_cast<std::size_t>(j)] / total * v.at((j * heads + h) * width + d);
        CHECK(got[0].at((i * heads + h) * width + d) == Approx(y).margin(1e-12));
      }
    }
}

TEST_CASE("stable softmax: scores of +-1e4 stay finite, clipped and capped ones stay within their bounds",
          "[core][ops][attention]") {
  Graph graph;
  const Value x = graph.input("x", f32, {1, time_, heads, width});
  const Tensor in = normal({1, time_, heads, width}, 1).cast(f32);
  const std::vector<Feed> feeds{{"x", in}};
  const AttentionOptions large{.scale = 2e3};
  const Value y = attention(x, x, x, large);
  const Value d = gradient(sum_squares(y), {x}).front();
  const std::vector<Tensor> got = evaluate(std::vector<Value>{y, d, attention_weights(x, x, {.scale = 2e3, .clip = 50}),
                                                              attention_weights(x, x, {.scale = 2e3, .soft_cap = 1})},
                                           feeds);
  for (const Tensor& tensor : {got[0], got[1], got[2]})
    for (std::int64_t i = 0; i < tensor.size(); ++i) CHECK(std::isfinite(tensor.at(i)));
  for (std::int64_t i = 0; i < got[3].size(); ++i) {  // scores in [-1, 1]
    CHECK(got[3].at(i) > std::exp(-2) / time_ * 0.99);
    CHECK(got[3].at(i) < std::exp(2) / time_ * 1.01);
  }
}

TEST_CASE("masks: causal, padding, bool and additive ones say the same", "[core][ops][attention]") {
  Graph graph;
  const Value x = graph.input("x", f64, {1, time_, heads, width});
  const Tensor in = normal({1, time_, heads, width}, 1);
  const std::vector<Feed> feeds{{"x", in}};
  const Value query = reshape(iota(graph, time_), {time_, 1}), key = iota(graph, time_);
  const Value allowed = logical_and(less_equal(key, query), less(key, 9));
  const Value lengths = full(graph, {1}, i64, 9);
  const Value added = where(allowed, full(graph, {}, f64, 0), -INFINITY);
  const std::vector<Tensor> y =
      evaluate(std::vector<Value>{attention(x, x, x, {.causal = true, .lengths = lengths}),
                                  attention(x, x, x, {.mask = allowed}), attention(x, x, x, {.bias = added})},
               feeds);
  for (std::int64_t i = 0; i < y[0].size(); ++i) {
    CHECK(y[1].at(i) == Approx(y[0].at(i)).margin(1e-14));
    CHECK(y[2].at(i) == Approx(y[0].at(i)).margin(1e-14));
  }
}

TEST_CASE("differentiable bias: its gradient is the finite difference, whatever it is broadcast along",
          "[core][ops][attention]") {
  for (const Shape& shape : {Shape{heads, time_, time_}, Shape{time_}, Shape{heads, 1, 1}, Shape{1, heads, time_, 1}}) {
    Graph graph;
    const Value x = graph.input("x", f64, {1, time_, heads, width}), bias = graph.input("bias", f64, shape);
    const Tensor in = normal({1, time_, heads, width}, 1), bias_in = normal(shape.extents(), 2);
    const Value y = attention(x, x, x, {.causal = true, .bias = bias});
    const GradientCheck result = check_gradients(sum_squares(y), {bias}, {{"x", in}, {"bias", bias_in}});
    INFO(shape.str() << "\n" << result.str());
    CHECK(result.passed());
  }
}
