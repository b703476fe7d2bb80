// Relative positions against the papers' formulas, by plain loops in double.
#include <support/catch.h>

#include <weft/ops/attention/relative_positions.h>
#include <weft/weft.h>

#include <algorithm>
#include <cmath>

using namespace weft;

namespace {

Tensor normal(Tensor::Extents extents, std::uint32_t stream) {
  Tensor drawn(f64, std::move(extents));
  normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(17, stream), 0);
  return drawn;
}

constexpr std::int64_t batch = 2, time_q = 3, time_k = 7, heads = 2, width = 4;

// x[b, t, h, .] . table[row, .], or table[row, h, .]
double product(const Tensor& x, std::int64_t b, std::int64_t t, std::int64_t h, const Tensor& table, std::int64_t row) {
  const std::int64_t place = table.rank() == 2 ? row : row * heads + h;
  double total = 0;
  for (std::int64_t d = 0; d < width; ++d)
    total += x.at(((b * x.extent(1) + t) * heads + h) * width + d) * table.at(place * width + d);
  return total;
}

// Shaw et al. 2018, section 3.2: clip(j - i, -k, k), counted from 0.
std::int64_t shaw(std::int64_t i, std::int64_t j, std::int64_t k) { return std::max(-k, std::min(k, j - i)) + k; }

// He et al. 2021, eq. 3.
std::int64_t delta(std::int64_t i, std::int64_t j, std::int64_t k) {
  if (i - j <= -k) return 0;
  if (i - j >= k) return 2 * k - 1;
  return i - j + k;
}

// Positions of the first query: a number, or one for each example.
struct From {
  std::array<std::int64_t, batch> at;
  bool at_run_time;
  PositionOffset offset(Graph graph) const {
    return at_run_time ? PositionOffset{.offset = 1, .start = graph.input("start", i32, {batch})}
                       : PositionOffset{.offset = at[0]};
  }
  std::vector<Feed> feeds(std::vector<Feed> more, const Tensor& start) const {
    if (at_run_time) more.emplace_back("start", start);
    return more;
  }
  Tensor start() const {
    return Tensor::of<std::int32_t>({batch},
                                    {static_cast<std::int32_t>(at[0] - 1), static_cast<std::int32_t>(at[1] - 1)});
  }
};
const std::vector<From> offsets{{{0, 0}, false}, {{4, 4}, false}, {{4, 1}, true}};

}  // namespace

TEST_CASE("vectors added to the keys add <q_i, a_ij> / sqrt(d) to the scores", "[core][ops][positions]") {
  for (const bool own : {false, true})
    for (const From& from : offsets) {
      Graph graph;
      const std::int64_t k = 2;
      const Value q = graph.input("q", f64, {batch, time_q, heads, width});
      const Value table =
          own ? graph.input("table", f64, {2 * k + 1, heads, width}) : graph.input("table", f64, {2 * k + 1, width});
      const Value scores = relative_key_scores(q, table, time_k, {.max_distance = k, .from = from.offset(graph)});
      const Tensor x = normal({batch, time_q, heads, width}, 1), t = normal(table.shape().extents(), 2),
                   start = from.start();
      const Tensor got = evaluate(scores, from.feeds({{"q", x}, {"table", t}}, start));
      REQUIRE(got.extents() == Tensor::Extents{batch, heads, time_q, time_k});
      for (std::int64_t b = 0; b < batch; ++b)
        for (std::int64_t h = 0; h < heads; ++h)
          for (std::int64_t i = 0; i < time_q; ++i)
            for (std::int64_t j = 0; j < time_k; ++j)
              CHECK(got.at(((b * heads + h) * time_q + i) * time_k + j) ==
                    Approx(product(x, b, i, h, t, shaw(i + from.at[static_cast<std::size_t>(b)], j, k)) / 2)
                        .margin(1e-13));
    }
}

TEST_CASE("attention with relative vectors is eq. 3 and 4 of Shaw et al.", "[core][ops][positions]") {
  Graph graph;
  const std::int64_t k = 2, time = 5;
  const Value q = graph.input("q", f64, {batch, time, heads, width}),
              key = graph.input("k", f64, {batch, time, heads, width}),
              v = graph.input("v", f64, {batch, time, heads, width});
  const Value a_k = graph.input("a_k", f64, {2 * k + 1, width}), a_v = graph.input("a_v", f64, {2 * k + 1, width});
  const AttentionOptions options{.bias = relative_key_scores(q, a_k, time, {.max_distance = k})};
  const Value z =
      attention(q, key, v, options) + relative_values(attention_weights(q, key, options), a_v, {.max_distance = k});
  const Tensor xq = normal({batch, time, heads, width}, 1), xk = normal({batch, time, heads, width}, 2),
               xv = normal({batch, time, heads, width}, 3), tk = normal({2 * k + 1, width}, 4),
               tv = normal({2 * k + 1, width}, 5);
  const Tensor got = evaluate(z, {{"q", xq}, {"k", xk}, {"v", xv}, {"a_k", tk}, {"a_v", tv}});
  const auto at = [](const Tensor& x, std::int64_t b, std::int64_t t, std::int64_t h, std::int64_t d) {
    return x.at(((b * time + t) * heads + h) * width + d);
  };
  for (std::int64_t b = 0; b < batch; ++b)
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t i = 0; i < time; ++i) {
        std::vector<double> e(time);
        double total = 0;
        for (std::int64_t j = 0; j < time; ++j) {
          double s = 0;
          for (std::int64_t d = 0; d < width; ++d)
            s += at(xq, b, i, h, d) * (at(xk, b, j, h, d) + tk.at(shaw(i, j, k) * width + d));
          total += e[static_cast<std::size_t>(j)] = std::exp(s / std::sqrt(static_cast<double>(width)));
        }
        for (std::int64_t d = 0; d < width; ++d) {
          double want = 0;
          for (std::int64_t j = 0; j < time; ++j)
            want += e[static_cast<std::size_t>(j)] / total * (at(xv, b, j, h, d) + tv.at(shaw(i, j, k) * width + d));
          CHECK(at(got, b, i, h, d) == Approx(want).margin(1e-12));
        }
      }
}

TEST_CASE("vectors of values follow each example's offset", "[core][ops][positions]") {
  for (const From& from : offsets) {
    Graph graph;
    const std::int64_t k = 3;
    const Value p = graph.input("p", f64, {batch, heads, time_q, time_k}),
                table = graph.input("table", f64, {2 * k + 1, heads, width});
    const Value y = relative_values(p, table, {.max_distance = k, .from = from.offset(graph)});
    const Tensor w = normal({batch, heads, time_q, time_k}, 1), t = normal({2 * k + 1, heads, width}, 2),
                 start = from.start();
    const Tensor got = evaluate(y, from.feeds({{"p", w}, {"table", t}}, start));
    for (std::int64_t b = 0; b < batch; ++b)
      for (std::int64_t i = 0; i < time_q; ++i)
        for (std::int64_t h = 0; h < heads; ++h)
          for (std::int64_t d = 0; d < width; ++d) {
            double want = 0;
            for (std::int64_t j = 0; j < time_k; ++j)
              want += w.at(((b * heads + h) * time_q + i) * time_k + j) *
                      t.at((shaw(i + from.at[static_cast<std::size_t>(b)], j, k) * heads + h) * width + d);
            CHECK(got.at(((b * time_q + i) * heads + h) * width + d) == Approx(want).margin(1e-12));
          }
  }
}

TEST_CASE("disentangled scores are DeBERTa's terms of content and position", "[core][ops][positions]") {
  for (const int terms : {0, 1, 2})
    for (const From& from : offsets) {
      Graph graph;
      const std::int64_t most = 2;
      const Value q = graph.input("q", f64, {batch, time_q, heads, width}),
                  k = graph.input("k", f64, {batch, time_k, heads, width});
      const Value to_position = terms == 1 ? Value{} : graph.input("p_k", f64, {2 * most, heads, width});
      const Value to_content = terms == 0 ? Value{} : graph.input("p_q", f64, {2 * most, heads, width});
      const Value scores =
          disentangled_scores(q, k, to_position, to_content, {.max_distance = most, .from = from.offset(graph)});
      const Tensor xq = normal({batch, time_q, heads, width}, 1), xk = normal({batch, time_k, heads, width}, 2),
                   pk = normal({2 * most, heads, width}, 3), pq = normal({2 * most, heads, width}, 4),
                   start = from.start();
      std::vector<Feed> feeds;
      if (terms != 1) feeds = {{"q", xq}, {"p_k", pk}};
      if (terms != 0) feeds.emplace_back("k", xk), feeds.emplace_back("p_q", pq);
      const Tensor got = evaluate(scores, from.feeds(feeds, start));
      const double scale = 1 / std::sqrt((terms == 2 ? 3.0 : 2.0) * static_cast<double>(width));
      for (std::int64_t b = 0; b < batch; ++b)
        for (std::int64_t h = 0; h < heads; ++h)
          for (std::int64_t i = 0; i < time_q; ++i)
            for (std::int64_t j = 0; j < time_k; ++j) {
              const std::int64_t place = i + from.at[static_cast<std::size_t>(b)];
              double want = 0;
              if (terms != 1) want += product(xq, b, i, h, pk, delta(place, j, most));
              if (terms != 0) want += product(xk, b, j, h, pq, delta(j, place, most));
              CHECK(got.at(((b * heads + h) * time_q + i) * time_k + j) == Approx(scale * want).margin(1e-13));
            }
      CHECK(disentangled_scale(width, terms == 2 ? 2 : 1) == Approx(scale));
    }
}

TEST_CASE("gradients flow through relative positions, with offsets too", "[core][ops][positions]") {
  for (const bool at_run_time : {false, true}) {
    Graph graph;
    const Value q = graph.input("q", f64, {batch, 2, heads, width}),
                k = graph.input("k", f64, {batch, 4, heads, width});
    const Value a_k = graph.parameter("a_k", {f64, {5, width}}, init::normal(0, 1)),
                a_v = graph.parameter("a_v", {f64, {5, heads, width}}, init::normal(0, 1)),
                p_k = graph.parameter("p_k", {f64, {6, heads, width}}, init::normal(0, 1)),
                p_q = graph.parameter("p_q", {f64, {6, heads, width}}, init::normal(0, 1));
    const Tensor start = Tensor::of<std::int32_t>({batch}, {2, 0});
    const From from{{2, 2}, at_run_time};
    const PositionOffset at = from.offset(graph);
    AttentionOptions options{.bias = relative_key_scores(q, a_k, 4, {.max_distance = 2, .from = at}) +
                                     disentangled_scores(q, k, p_k, p_q, {.max_distance = 3, .from = at})};
    const Value weights = attention_weights(q, k, options);
    const Value y = attention(q, k, k, options) + relative_values(weights, a_v, {.max_distance = 2, .from = at});
    const Tensor x = normal({batch, 2, heads, width}, 1), m = normal({batch, 4, heads, width}, 2);
    const std::vector<Feed> feeds = from.feeds({{"q", x}, {"k", m}}, start);
    const GradientCheck result =
        check_gradients(std::vector<Value>{y}, {q, k, a_k, a_v, p_k, p_q}, feeds, {.most_elements = 20});
    INFO(result.str());
    CHECK(result.passed());
  }
}

TEST_CASE("a table of relative positions that is too short names both lengths", "[core][ops][positions][errors]") {
  Graph graph;
  const Value q = graph.input("q", f64, {2, 3, 2, 4}), short_table = graph.input("table", f64, {6, 4}),
              p = graph.input("p", f64, {2, 2, 3, 5}), pairs = graph.input("pairs", f64, {6, 2, 4});
  CHECK_THROWS_WITH(relative_key_scores(q, short_table, 5, {.max_distance = 3}),
                    ContainsSubstring("relative_positions_test.cpp:") &&
                        ContainsSubstring("distances up to 3 need a table of 7 rows, [7, 4], got f64[6, 4]"));
  CHECK_THROWS_WITH(relative_values(p, short_table, {.max_distance = 3}), ContainsSubstring("a table of 7 rows"));
  CHECK_THROWS_WITH(disentangled_scores(q, q, pairs, pairs, {.max_distance = 4}),
                    ContainsSubstring("a table of 8 rows, [8, 2, 4], got f64[6, 2, 4]"));
  CHECK_THROWS_WITH(disentangled_scores(q, q, short_table, {}, {.max_distance = 3}),
                    ContainsSubstring("[6, 2, 4], got f64[6, 4]"));
  CHECK_THROWS_WITH(disentangled_scores(q, q, {}, {}, {.max_distance = 3}), ContainsSubstring("position_keys"));
  CHECK_THROWS_WITH(disentangled_scores(q, q, pairs, {}, {}), ContainsSubstring("at least 1, got 0"));
  CHECK_THROWS_WITH(relative_key_scores(q, short_table, 5, {.max_distance = -1}),
                    ContainsSubstring("must not be negative, got -1"));
  CHECK_THROWS_WITH(relative_key_scores(p * p, short_table, 5, {.max_distance = 1}),
                    ContainsSubstring("need a table of 3 rows"));
  CHECK_THROWS_WITH(relative_key_scores(short_table, short_table, 5, {.max_distance = 1}),
                    ContainsSubstring("queries or keys [batch, time, heads, width]"));
  CHECK_THROWS_WITH(relative_values(q, short_table, {.max_distance = -1}), ContainsSubstring("must not be negative"));
  CHECK_THROWS_WITH(relative_values(short_table, short_table, {.max_distance = 1}), ContainsSubstring("needs weights"));
  CHECK_THROWS_WITH(pick_relative(short_table, short_table), ContainsSubstring("pick_relative"));
}
