#include <support/catch.h>
#include <weft/nn/attention_taps.h>
#include <weft/nn/collapse.h>
#include <weft/weft.h>

#include <cmath>
#include <optional>

using namespace weft;

namespace {

// Tokens that attend to each other; the scores of head 1 grow by a factor that is fed.
struct Growing {
  static constexpr std::int64_t batch = 4, time = 6, heads = 2, width = 8;
  Graph graph;
  Loss loss;

  Growing() {
    const Dim n = graph.dim("batch", batch);
    const Value x = graph.input("x", f32, {n, time, width}), y = graph.input("y", f32, {n, time, width}),
                growth = graph.input("growth", f32, {heads, 1});
    const auto scope = graph.scope("mixer");
    const nn::Linear q(graph, "q", {.in = width, .out = width}), k(graph, "k", {.in = width, .out = width}),
        v(graph, "v", {.in = width, .out = width}), out(graph, "out", {.in = width, .out = width});
    const auto split = [&](const Value& t) { return reshape(t, {n, time, heads, width / heads}); };
    const Value seen = attention(split(q(x)) * growth, split(k(x)), split(v(x)), {.causal = true});
    loss = mse_loss(out(reshape(seen, {n, time, width})), y);
  }
};

struct Watch {
  std::vector<nn::Collapse> news, at_end;
};

// A training run of 30 steps in which head 1's scores are multiplied from step `from` on by what doubles each step.
Watch train(std::optional<std::int64_t> from, const nn::CollapseOptions& options = {}) {
  const Growing model;
  const Step step = training_step(model.loss) | optimize(adamw({.rate = 1e-3})) | nn::tap_attention();
  Store store(step, {.seed = 2});
  Program program(step, store);
  nn::CollapseMonitor monitor(options);
  Watch watch;
  for (std::int64_t s = 0; s < 30; ++s) {
    const NamedTensors drawn = random_feeds(step.graph, s, {7, {}, {}});
    const float factor = from && s >= *from ? 1000.0F : 1.0F;
    const Tensor growth = Tensor::of<float>({2, 1}, {1.0F, factor});
    std::vector<Feed> feeds;
    for (const auto& [name, tensor] : drawn) feeds.emplace_back(name, name == "growth" ? growth : tensor);
    for (nn::Collapse& c : monitor.observe(s, program.run(feeds), step)) watch.news.push_back(std::move(c));
  }
  watch.at_end = monitor.collapsed();
  return watch;
}

// A report of one head that has these two numbers.
nn::AttentionReport report_of(double peak, double entropy, double maximum = 1) {
  return {{{"a", 0, {{.path = "a", .head = 0, .entropy = entropy, .peak = peak, .maximum = maximum}}}}};
}

}  // namespace

TEST_CASE("collapse detection names the step and the head where it began, and what to do", "[core][nn][inside]") {
  const Watch watch = train(11);
  REQUIRE(watch.news.size() == 1);
  const nn::Collapse& c = watch.news.front();
  CHECK(c.path == "mixer");
  CHECK(c.head == 1);
  CHECK(c.began == 11);
  CHECK(c.seen == 13);  // the third observation that shows it
  CHECK((c.by_weight || c.by_entropy));
  CHECK_THAT(c.str(), ContainsSubstring("head 1 of 'mixer' since step 11") &&
                          ContainsSubstring("raise the temperature") && ContainsSubstring("attention dropout") &&
                          ContainsSubstring("label smoothing"));
  REQUIRE(watch.at_end.size() == 1);
  CHECK(watch.at_end.front().began == 11);
}

TEST_CASE("a healthy twin of a collapsing run raises nothing", "[core][nn][inside]") {
  const Watch watch = train(std::nullopt);
  CHECK(watch.news.empty());
  CHECK(watch.at_end.empty());
}

TEST_CASE("a collapse is a weight above its threshold or an entropy below, for as long as is said",
          "[core][nn][inside]") {
  nn::CollapseMonitor monitor({.lasting = 2});
  CHECK(monitor.observe(0, report_of(0.96, 0.5)).empty());
  CHECK(monitor.observe(1, report_of(0.94, 0.5)).empty());  // it passed
  CHECK(monitor.observe(2, report_of(0.5, 0.09)).empty());
  const auto news = monitor.observe(5, report_of(0.96, 0.2));
  REQUIRE(news.size() == 1);
  CHECK(news[0].began == 2);
  CHECK(news[0].seen == 5);
  CHECK(news[0].by_weight);
  CHECK_FALSE(news[0].by_entropy);
  CHECK_THAT(news[0].str(),
             ContainsSubstring("since step 2 (at step 5: one weight of 0.960; 0.00 of it on the pattern"));
  CHECK(monitor.observe(6, report_of(0.99, 0.01)).empty());  // said once
  CHECK(monitor.collapsed().size() == 1);
  CHECK(monitor.observe(7, report_of(0.5, 0.5)).empty());
  CHECK(monitor.observe(8, report_of(0.96, 0.5)).empty());  // it goes on: it must be well for as long
  CHECK(monitor.collapsed().size() == 1);
  for (const std::int64_t s : {9, 10}) CHECK(monitor.observe(s, report_of(0.5, 0.5)).empty());
  CHECK(monitor.collapsed().empty());
  CHECK(monitor.observe(11, report_of(1, 0)).empty());
  CHECK(monitor.observe(12, report_of(1, 0)).size() == 1);  // anew

  // At the thresholds themselves nothing is wrong, nor where no query counts.
  nn::CollapseMonitor exact({.lasting = 1});
  CHECK(exact.observe(0, report_of(0.95, 0.1)).empty());
  CHECK(exact.observe(1, report_of(std::nan(""), std::nan(""))).empty());
  CHECK(exact.observe(2, report_of(0.2, 0.0999)).size() == 1);
  nn::CollapseMonitor any({.lasting = 1, .any_query = true}), mean({.lasting = 1});
  CHECK(any.observe(0, report_of(0.5, 1, 0.96)).size() == 1);
  CHECK(mean.observe(0, report_of(0.5, 1, 0.96)).empty());
  nn::CollapseMonitor own({.weight_above = 0.6, .entropy_below = 0, .lasting = 1});
  CHECK(own.observe(0, report_of(0.61, 0)).size() == 1);
}

TEST_CASE("a monitor of collapse refuses thresholds out of range and steps that go back",
          "[core][nn][inside][errors]") {
  CHECK_THROWS_WITH(nn::CollapseMonitor({.weight_above = 1.5}),
                    ContainsSubstring("weight_above must be in (0, 1], got 1.5"));
  CHECK_THROWS_WITH(nn::CollapseMonitor({.entropy_below = -1}),
                    ContainsSubstring("entropy_below must be at least 0, got -1"));
  CHECK_THROWS_WITH(nn::CollapseMonitor({.lasting = 0}), ContainsSubstring("at least 1 observation, got 0"));
  nn::CollapseMonitor monitor;
  monitor.observe(5, report_of(0.5, 1));
  CHECK_THROWS_WITH(monitor.observe(5, report_of(0.5, 1)), ContainsSubstring("steps must increase, got 5 after 5"));
}
