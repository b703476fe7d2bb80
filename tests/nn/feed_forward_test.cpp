#include <support/catch.h>

#include <weft/weft.h>

#include <algorithm>

using namespace weft;

TEST_CASE("configuration: the hidden layer is dropped only while training", "[core][nn]") {
  Graph graph;
  const Value x = graph.input("x", f64, {50, 4});
  const nn::FeedForward plain(graph, "plain", {.width = 4, .hidden = 6, .activation = "relu", .dtype = f64}),
      dropped(graph, "dropped", {.width = 4, .hidden = 6, .activation = "relu", .dropout = 0.5, .dtype = f64});
  Store store(graph, {.seed = 1});
  for (const char* part : {"up/weight", "up/bias", "down/weight", "down/bias"})
    store.set(fmt::format("dropped/{}", part), store.tensor(fmt::format("plain/{}", part)));
  const Value y = plain(x), z = dropped(x);
  Tensor in(f64, {50, 4});
  normal_fill(in.data<double>(), in.size(), 0, random_key(2, 1), 0);
  Program trained(fetching({y, z}), store), calm(inference({y, z}), store);
  const Result a = calm.run({{"x", in}});
  const Tensor want = a.tensor(y).clone();
  for (std::int64_t i = 0; i < want.size(); ++i) CHECK(a.tensor(z).at(i) == Approx(want.at(i)).margin(1e-13));
  // Each hidden number is kept, doubled, or gone: down's rows of the results of all 2^6 choices hold the drawn one.
  const Tensor got = trained.run({{"x", in}}).tensor(z).clone();
  const Tensor &up = store.tensor("plain/up/weight"), &down = store.tensor("plain/down/weight");
  std::int64_t changed = 0;
  for (std::int64_t r = 0; r < 50; ++r) {
    double nearest = 1;
    for (unsigned choice = 0; choice < 64; ++choice) {
      double worst = 0;
      for (std::int64_t o = 0; o < 4; ++o) {
        double sum = 0;
        for (std::int64_t h = 0; h < 6; ++h) {
          double hidden = 0;
          for (std::int64_t i = 0; i < 4; ++i) hidden += in.at(r * 4 + i) * up.at(h * 4 + i);
          sum += ((choice >> h) & 1U) != 0 ? 2 * std::max(hidden, 0.0) * down.at(o * 6 + h) : 0;
        }
        worst = std::max(worst, std::abs(sum - got.at(r * 4 + o)));
      }
      nearest = std::min(nearest, worst);
    }
    CHECK(nearest < 1e-12);
    changed += std::abs(got.at(r * 4) - want.at(r * 4)) > 1e-9 ? 1 : 0;
  }
  CHECK(changed > 30);
}

TEST_CASE("a feed-forward that cannot be is refused at the user's line", "[core][nn][errors]") {
  Graph graph;
  CHECK_THROWS_WITH(
      nn::FeedForward(graph, "feed_forward", {.width = 4, .dropout = 1}),
      ContainsSubstring("'feed_forward' (feed_forward_test.cpp:") && ContainsSubstring("in [0, 1), got 1"));
  CHECK_THROWS_WITH(nn::FeedForward(graph, "feed_forward", {.width = 4, .activation = "gelo"}),
                    ContainsSubstring("'feed_forward' (feed_forward_test.cpp:") &&
                        ContainsSubstring("unknown activation 'gelo': expected one of"));
}
