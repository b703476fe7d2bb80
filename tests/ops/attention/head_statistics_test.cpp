#include <support/catch.h>

#include <weft/ops/attention/head_statistics.h>
#include <weft/weft.h>

#include <array>
#include <cmath>
#include <functional>
#include <limits>

using namespace weft;

namespace {

// [batch, heads, time_q, time_k] of numbers.
struct Weights {
  Tensor p;
  explicit Weights(Tensor tensor) : p(std::move(tensor)) {}
  std::int64_t batch() const { return p.extent(0); }
  std::int64_t heads() const { return p.extent(1); }
  std::int64_t time_q() const { return p.extent(2); }
  std::int64_t time_k() const { return p.extent(3); }
  double operator()(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    return p.at(((b * heads() + h) * time_q() + i) * time_k() + j);
  }
};

// Which key j query i of head h in example b sees, and where that query stands among the keys.
struct Place {
  std::function<bool(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j)> sees = [](auto...) {
    return true;
  };
  std::function<std::int64_t(std::int64_t b, std::int64_t i)> position = [](std::int64_t, std::int64_t i) { return i; };
};

struct Expected {
  std::vector<double> entropy, sparsity, peak;       // [heads]
  std::vector<double> maximum;                       // [batch, heads]
  std::array<std::vector<double>, 5> share, chance;  // [pattern][heads]
  double diversity = 0;
};

double entropy_of(const std::vector<double>& row) {
  double h = 0;
  for (const double p : row) h -= p > 0 ? p * std::log(p) : 0;
  return h;
}

// The definitions of head_statistics.h as loops.
Expected by_loops(const Weights& w, const Place& place, double below, std::int64_t block) {
  const auto heads = static_cast<std::size_t>(w.heads());
  Expected e;
  e.maximum.assign(static_cast<std::size_t>(w.batch()) * heads, 0);
  double divergence = 0, compared = 0;
  for (std::int64_t h = 0; h < w.heads(); ++h) {
    double entropy = 0, sparse = 0, pairs = 0, peak = 0, rows = 0;
    std::array<double, 5> share{}, chance{}, offered{};
    for (std::int64_t b = 0; b < w.batch(); ++b)
      for (std::int64_t i = 0; i < w.time_q(); ++i) {
        std::vector<double> row;
        std::vector<std::int64_t> keys;
        for (std::int64_t j = 0; j < w.time_k(); ++j)
          if (place.sees(b, h, i, j)) {
            row.push_back(w(b, h, i, j));
            keys.push_back(j);
          }
        if (keys.size() < 2) continue;
        const auto n = static_cast<double>(keys.size());
        const std::int64_t at = place.position(b, i);
        rows += 1;
        pairs += n;
        entropy += entropy_of(row);
        const double top = *std::max_element(row.begin(), row.end());
        peak += top;
        double& most = e.maximum[static_cast<std::size_t>(b) * heads + static_cast<std::size_t>(h)];
        most = std::max(most, top);
        std::array<double, 5> mass{}, members{};
        for (std::size_t x = 0; x < row.size(); ++x) {
          sparse += row[x] < below;
          const std::int64_t j = keys[x];
          const auto block_of = [&](std::int64_t t) {
            return static_cast<std::int64_t>(std::floor(static_cast<double>(t) / static_cast<double>(block)));
          };
          const bool in[] = {j == at, j == at - 1, j == 0, block_of(j) == block_of(at)};
          for (std::size_t p = 0; p < 4; ++p) {
            mass[p] += in[p] ? row[x] : 0;
            members[p] += in[p];
          }
          mass[4] += std::min(row[x], 1 / n);
        }
        members[4] = 1;
        for (std::size_t p = 0; p < 5; ++p) {
          if (members[p] == 0) continue;
          offered[p] += 1;
          share[p] += mass[p];
          chance[p] += members[p] / n;
        }
      }
    e.entropy.push_back(entropy / rows);
    e.sparsity.push_back(sparse / pairs);
    e.peak.push_back(peak / rows);
    for (std::size_t p = 0; p < 5; ++p) {
      e.share[p].push_back(share[p] / offered[p]);
      e.chance[p].push_back(chance[p] / offered[p]);
    }
  }
  for (std::int64_t b = 0; b < w.batch(); ++b)
    for (std::int64_t i = 0; i < w.time_q(); ++i) {
      std::vector<double> mean(static_cast<std::size_t>(w.time_k()), 0);
      std::vector<bool> seen(mean.size(), false);
      double own = 0;
      bool all = true;
      for (std::int64_t h = 0; h < w.heads(); ++h) {
        std::vector<double> row;
        int keys = 0;
        for (std::int64_t j = 0; j < w.time_k(); ++j) {
          const bool sees = place.sees(b, h, i, j);
          keys += sees;
          seen[static_cast<std::size_t>(j)] = seen[static_cast<std::size_t>(j)] || sees;
          row.push_back(sees ? w(b, h, i, j) : 0);
          mean[static_cast<std::size_t>(j)] += row.back() / static_cast<double>(heads);
        }
        all = all && keys >= 2;
        own += entropy_of(row) / static_cast<double>(heads);
      }
      if (!all) continue;
      const auto keys = static_cast<double>(std::count(seen.begin(), seen.end(), true));
      divergence += (entropy_of(mean) - own) / std::log(std::min(keys, static_cast<double>(heads)));
      compared += 1;
    }
  e.diversity = divergence / compared;
  return e;
}

// The graph's answers, in one order.
struct Built {
  std::vector<Value> values;
  explicit Built(const HeadWeights& of, double below, std::int64_t block) {
    values = {head_entropy(of).value(), head_sparsity(of, below).value(), head_peak(of).value(), head_maximum(of)};
    for (const HeadPattern pattern : head_patterns) {
      const PatternShare found = head_pattern(of, pattern, block);
      values.push_back(found.share.value());
      values.push_back(found.chance.value());
    }
    if (of.weights.shape().extent(1) > 1) values.push_back(head_diversity(of).value());
  }
};

void check_all(const std::vector<Tensor>& got, const Expected& e, double margin) {
  const auto same = [&](const Tensor& tensor, const std::vector<double>& wanted, const char* what) {
    REQUIRE(tensor.size() == std::ssize(wanted));
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      INFO(what << " " << i);
      CHECK(tensor.at(i) == Approx(wanted[static_cast<std::size_t>(i)]).margin(margin));
    }
  };
  same(got[0], e.entropy, "entropy");
  same(got[1], e.sparsity, "sparsity");
  same(got[2], e.peak, "peak");
  same(got[3], e.maximum, "maximum");
  for (std::size_t p = 0; p < 5; ++p) {
    same(got[4 + 2 * p], e.share[p], name_of(head_patterns[p]));
    same(got[5 + 2 * p], e.chance[p], "chance");
  }
  if (got.size() > 14) same(got[14], {e.diversity}, "diversity");
}

Tensor normal(Tensor::Extents extents, std::uint32_t stream, double deviation = 1) {
  Tensor drawn(f64, std::move(extents));
  normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(11, stream), 0);
  for (std::int64_t i = 0; i < drawn.size(); ++i) drawn.data<double>()[i] *= deviation;
  return drawn;
}

// An attention over random tensors, its weights and their statistics, in f64.
struct Attended {
  Graph graph;
  Tensor q, k, v;
  Value q_in, k_in, v_in;
  Attended(std::int64_t batch, std::int64_t time_q, std::int64_t time_k, std::int64_t heads, std::int64_t kv_heads)
      : q(normal({batch, time_q, heads, 4}, 1, 2)),
        k(normal({batch, time_k, kv_heads, 4}, 2, 2)),
        v(normal({batch, time_k, kv_heads, 4}, 3)) {
    q_in = graph.input("q", f64, {batch, time_q, heads, 4});
    k_in = graph.input("k", f64, {batch, time_k, kv_heads, 4});
    v_in = graph.input("v", f64, {batch, time_k, kv_heads, 4});
  }
  // By the rules that are known, and as if the node had others beside them.
  void check(const AttentionOptions& options, const Place& place, const std::vector<Feed>& more = {}) const {
    const Value y = attention(q_in, k_in, v_in, options);
    check(y, place, more);
    Values in;
    for (const ValueRef& ref : y.node().operands) in.push_back(ref.node == no_node ? Value{} : y.graph().value(ref));
    check(y.graph().apply(attention_op(), in, y.node().attributes.with("another_rule", true)).front(), place, more);
  }
  void check(const Value& y, const Place& place, std::vector<Feed> more) const {
    const HeadWeights of = head_weights(y);
    std::vector<Value> values = Built(of, 0.01, 3).values;
    values.push_back(of.weights);
    values.push_back(y);
    more.insert(more.end(), {{"q", q}, {"k", k}, {"v", v}});
    std::vector<Tensor> got = evaluate(values, more);
    const Weights weights(got[got.size() - 2]);
    got.resize(got.size() - 2);
    check_all(got, by_loops(weights, place, 0.01, 3), 1e-12);
  }
};

// The weights as they are given, in f64.
std::vector<Tensor> statistics_of(const Tensor& p, std::int64_t block = 3) {
  Graph graph;
  const Value weights = graph.input("p", f64, Shape(std::span<const std::int64_t>(p.extents())));
  return evaluate(Built({weights, {}, {}}, 1e-3, block).values, std::vector<Feed>{{"p", p}});
}

}  // namespace

TEST_CASE("attention entropy, sparsity, maximum weight and pattern shares are their plain loops",
          "[core][ops][inside]") {
  Attended a(2, 7, 7, 3, 3);
  a.check({}, {});
  Attended cross(2, 4, 9, 2, 2);
  cross.check({}, {});
}

TEST_CASE("pairs that a mask forbids do not exist for statistics of attention", "[core][ops][inside]") {
  Attended causal(2, 7, 7, 4, 2);  // grouped heads
  causal.check({.causal = true}, {.sees = [](auto, auto, auto i, auto j) { return j <= i; }});
  Attended cached(2, 3, 8, 2, 1);  // the queries are the last of eight
  cached.check({.causal = true}, {.sees = [](auto, auto, auto i, auto j) { return j <= i + 5; },
                                  .position = [](auto, auto i) { return i + 5; }});
  Attended window(2, 8, 8, 2, 2);
  window.check({.causal = true, .window = 3}, {.sees = [](auto, auto, auto i, auto j) { return j <= i && i - j < 3; }});
  Attended open(1, 8, 8, 2, 2);
  open.check({.window = 2}, {.sees = [](auto, auto, auto i, auto j) { return std::abs(i - j) < 2; }});
  Attended lone(1, 8, 8, 2, 2);  // each query sees itself alone: nothing counts
  const HeadWeights of = head_weights(attention(lone.q_in, lone.k_in, lone.v_in, {.window = 1}));
  const std::vector<Feed> feeds{{"q", lone.q}, {"k", lone.k}};
  for (const Tensor& tensor :
       evaluate({head_entropy(of).value(), head_sparsity(of).value(), head_diversity(of).value()}, feeds))
    CHECK(std::isnan(tensor.at(0)));
  CHECK(evaluate(head_maximum(of), feeds).at(0) == 0);
}

TEST_CASE("padding, lengths, a run-time start and a mask by bias say which pairs exist", "[core][ops][inside]") {
  const std::int64_t lengths[] = {7, 2, 1, 0};  // of the last two examples no query counts
  Attended a(4, 7, 7, 2, 2);
  const Value length = a.graph.input("lengths", i64, {4});
  const Tensor given = Tensor::of<std::int64_t>({4}, std::span<const std::int64_t>(lengths));
  const auto shorter = [&](auto b, auto, auto, auto j) { return j < lengths[b]; };
  a.check({.lengths = length}, {.sees = shorter}, {{"lengths", given}});

  const auto even = [](auto b, auto h, auto i, auto j) { return (b + h + i * j) % 3 != 0; };
  Tensor mask(boolean, {4, 2, 7, 7}), bias(f64, {4, 2, 7, 7});
  for (std::int64_t x = 0; x < mask.size(); ++x) {
    mask.data<bool>()[x] = even(x / 98, x / 49 % 2, x / 7 % 7, x % 7);
    bias.data<double>()[x] = mask.data<bool>()[x] ? 0.25 * static_cast<double>(x % 5) : -1e9;
  }
  Attended by_mask(4, 7, 7, 2, 2), by_bias(4, 7, 7, 2, 2);
  const Value allowed = by_mask.graph.input("mask", boolean, {4, 2, 7, 7});
  const Value added = by_bias.graph.input("bias", f64, {4, 2, 7, 7});
  by_mask.check({.mask = allowed}, {.sees = even}, {{"mask", mask}});
  by_bias.check({.bias = added}, {.sees = even}, {{"bias", bias}});

  Attended decoding(3, 2, 9, 2, 2);
  const std::int64_t starts[] = {0, 3, 7};
  const Value start = decoding.graph.input("start", i32, {3});
  const Tensor at = Tensor::of<std::int32_t>({3}, {0, 3, 7});
  decoding.check({.causal = true, .start = start},
                 {.sees = [&](auto b, auto, auto i, auto j) { return j <= i + starts[b]; },
                  .position = [&](auto b, auto i) { return i + starts[b]; }},
                 {{"start", at}});
}

TEST_CASE("a uniform head has the entropy ln n and the share 1 of the pattern uniform", "[core][ops][inside]") {
  Tensor p(f64, {2, 2, 6, 6});
  for (std::int64_t i = 0; i < p.size(); ++i) p.data<double>()[i] = 1.0 / 6;
  const auto got = statistics_of(p);
  for (std::int64_t h = 0; h < 2; ++h) {
    CHECK(got[0].at(h) == Approx(std::log(6.0)).epsilon(1e-14));
    CHECK(got[1].at(h) == 0);
    CHECK(got[2].at(h) == Approx(1.0 / 6));
    CHECK(got[12].at(h) == Approx(1).epsilon(1e-14));      // uniform
    for (std::size_t pattern = 0; pattern < 4; ++pattern)  // every other share is what chance gives
      CHECK(got[4 + 2 * pattern].at(h) == Approx(got[5 + 2 * pattern].at(h)).epsilon(1e-14));
  }
  CHECK(got[14].at(0) == Approx(0).margin(1e-15));  // all heads alike
}

TEST_CASE("a diagonal head has no entropy and all its mass on the diagonal", "[core][ops][inside]") {
  // Head 0 looks at itself, head 1 at the token before (the first one at itself), head 2 at the first token.
  Tensor p(f64, {1, 3, 6, 6});
  for (std::int64_t i = 0; i < 6; ++i) {
    p.data<double>()[i * 6 + i] = 1;
    p.data<double>()[36 + i * 6 + std::max<std::int64_t>(0, i - 1)] = 1;
    p.data<double>()[72 + i * 6] = 1;
  }
  const auto got = statistics_of(p);
  for (std::int64_t h = 0; h < 3; ++h) {
    CHECK(got[0].at(h) == 0);
    CHECK(got[1].at(h) == Approx(5.0 / 6));
    CHECK(got[2].at(h) == 1);
    CHECK(got[3].at(h) == 1);
    CHECK(got[4 + 2 * static_cast<std::size_t>(h)].at(h) == 1);
    CHECK(got[12].at(h) == Approx(1.0 / 6));  // what a row with one key has in common with a uniform one
  }
  CHECK(got[10].at(0) == 1);  // the diagonal lies in its blocks
  CHECK(got[10].at(1) == Approx(5.0 / 6));
}

TEST_CASE("heads that share no key have the diversity 1, heads alike 0", "[core][ops][inside]") {
  Tensor apart(f64, {2, 2, 5, 6}), alike(f64, {2, 2, 5, 6});
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t h = 0; h < 2; ++h)
      for (std::int64_t i = 0; i < 5; ++i) {
        apart.data<double>()[((b * 2 + h) * 5 + i) * 6 + (h == 0 ? i : 5)] = 1;
        alike.data<double>()[((b * 2 + h) * 5 + i) * 6 + i] = 1;
      }
  CHECK(statistics_of(apart)[14].item() == Approx(1).epsilon(1e-14));
  CHECK(statistics_of(alike)[14].item() == Approx(0).margin(1e-15));
}

TEST_CASE("statistics of attention in low precision are those of its exact scores", "[core][ops][inside]") {
  Graph graph;
  const Value q = graph.input("q", bf16, {1, 6, 2, 4}), k = graph.input("k", bf16, {1, 6, 2, 4});
  const HeadWeights of = head_weights(attention(q, k, k, {.causal = true}));
  CHECK(of.weights.dtype() == f32);
  const Tensor a = normal({1, 6, 2, 4}, 1, 2).cast(bf16), b = normal({1, 6, 2, 4}, 2, 2).cast(bf16);
  Graph wide;
  const Value q64 = wide.input("q", f64, {1, 6, 2, 4}), k64 = wide.input("k", f64, {1, 6, 2, 4});
  const Tensor a64 = a.cast(f64), b64 = b.cast(f64);
  const Tensor low = evaluate(head_entropy(of).value(), {{"q", a}, {"k", b}});
  const Tensor exact = evaluate(head_entropy(head_weights(attention(q64, k64, k64, {.causal = true}))).value(),
                                {{"q", a64}, {"k", b64}});
  for (std::int64_t h = 0; h < 2; ++h) CHECK(low.at(h) == Approx(exact.at(h)).epsilon(1e-5));
}

TEST_CASE("statistics of attention refuse what has no meaning", "[core][ops][inside][errors]") {
  Graph graph;
  const Value p = graph.input("p", f64, {1, 1, 4, 4});
  const HeadWeights of{p, {}, {}};
  CHECK_THROWS_WITH(head_sparsity(of, 0), ContainsSubstring("a number in (0, 1], got 0"));
  CHECK_THROWS_WITH(head_pattern(of, HeadPattern::block, 0), ContainsSubstring("at least 1 key wide, got 0"));
  CHECK_THROWS_WITH(head_diversity(of), ContainsSubstring("this attention has 1"));
  CHECK_THROWS_WITH(head_weights(p), ContainsSubstring("'p'") && ContainsSubstring("is no attention"));
}
