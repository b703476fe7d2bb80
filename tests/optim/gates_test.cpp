#include <equivalence/models.h>
#include <support/catch.h>
#include <weft/graph/taps.h>
#include <weft/nn/attention_taps.h>
#include <weft/nn/head_importance.h>
#include <weft/optim/gates.h>
#include <weft/testing/equivalent_to.h>
#include <weft/weft.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>

using namespace weft;
using test::ProofModel, test::small_encoder, test::small_gpt;

namespace {

Tensor filled(Tensor::Extents extents, double a, double b, double scale = 1) {
  Tensor tensor(f64, std::move(extents));
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    tensor.data<double>()[i] = scale * std::sin(a + b * static_cast<double>(i));
  return tensor;
}

// Two layers of causal attention in f64 and a loss; with `masks`, the heads' outputs are multiplied by inputs xi0 and
// xi1 [batch, 1, heads, 1].
struct TwoLayers {
  static constexpr std::int64_t batch = 3, time = 4, heads = 3, width = 6, layers = 2;
  Graph graph;
  Loss loss;
  Tensor x = filled({batch, time, width}, 0.3, 1.9), target = filled({batch, time, width}, 0.7, 0.9);

  explicit TwoLayers(bool masks, std::int64_t groups = heads) {
    const Dim n = graph.dim("batch", batch);
    Value y = graph.input("x", f64, {n, time, width});
    for (std::int64_t i = 0; i < layers; ++i) {
      const auto scope = graph.scope(fmt::format("layer/{}", i));
      const nn::Linear q(graph, "q", {.in = width, .out = width, .dtype = f64}),
          k(graph, "k", {.in = width, .out = width / heads * groups, .dtype = f64}),
          v(graph, "v", {.in = width, .out = width / heads * groups, .dtype = f64}),
          out(graph, "out", {.in = width, .out = width, .dtype = f64});
      const auto split = [&](const Value& t, std::int64_t count) {
        return reshape(t, {n, time, count, width / heads});
      };
      Value seen = attention(split(q(y), heads), split(k(y), groups), split(v(y), groups), {.causal = true});
      if (masks) seen = seen * graph.input(fmt::format("xi{}", i), f64, {n, 1, heads, 1});
      y = y + out(tanh(reshape(seen, {n, time, width})));
    }
    loss = mse_loss(y, graph.input("target", f64, {n, time, width}));
  }
  std::vector<Feed> feeds() const { return {{"x", x}, {"target", target}}; }
};

Tensor ones() {
  Tensor xi(f64, {TwoLayers::batch, 1, TwoLayers::heads, 1});
  std::fill_n(xi.data<double>(), xi.size(), 1.0);
  return xi;
}

// The loss for masks of both layers.
class MaskedLoss {
 public:
  double operator()(const Tensor& xi0, const Tensor& xi1) {
    std::vector<Feed> feeds = model_.feeds();
    feeds.emplace_back("layer/0/xi0", xi0);
    feeds.emplace_back("layer/1/xi1", xi1);
    return program_.run(feeds).scalar("loss");
  }

 private:
  TwoLayers model_{true};
  Step step_ = evaluation(model_.loss);
  Store store_{step_, {.seed = 3}};
  Program program_{step_, store_};
};

nn::HeadImportance ranking_of(const Step& step, const std::vector<Feed>& feeds) {
  Store store(step, {.seed = 3});
  Program program(step, store);
  nn::HeadImportance importance;
  importance.add(program.run(feeds), step);
  return importance;
}

std::map<std::pair<std::string, std::int64_t>, double> table_of(const nn::HeadImportance& importance) {
  std::map<std::pair<std::string, std::int64_t>, double> table;
  for (const nn::RankedHead& head : importance.ranked()) table[{head.path, head.head}] = head.importance;
  return table;
}

// One run of a proof: what is said here holds for each.
EquivalenceOptions once(const ProofModel& model) {
  EquivalenceOptions options = model.options;
  options.runs = 1;
  return options;
}

}  // namespace

TEST_CASE("ranked head importance by gradient is the finite difference of the loss by the head masks",
          "[core][optim][inside]") {
  const TwoLayers model(false);
  MaskedLoss loss;
  constexpr double h = 1e-5;
  std::map<std::pair<std::string, std::int64_t>, double> expected;
  for (std::int64_t layer = 0; layer < TwoLayers::layers; ++layer)
    for (std::int64_t head = 0; head < TwoLayers::heads; ++head)
      for (std::int64_t b = 0; b < TwoLayers::batch; ++b) {
        Tensor xi[2] = {ones(), ones()};
        double& mask = xi[layer].data<double>()[b * TwoLayers::heads + head];
        mask = 1 + h;
        const double above = loss(xi[0], xi[1]);
        mask = 1 - h;
        expected[{fmt::format("layer/{}", layer), head}] += std::abs((above - loss(xi[0], xi[1])) / (2 * h));
      }
  for (const Step& start : {evaluation(model.loss), training_step(model.loss),
                            training_step(model.loss) | clip_global_norm(1) | optimize(sgd())}) {
    const nn::HeadImportance importance = ranking_of(start | gate_importance(nn::heads()), model.feeds());
    const auto got = table_of(importance);
    REQUIRE(got.size() == expected.size());
    for (const auto& [key, value] : expected) CHECK(got.at(key) == Approx(value).epsilon(1e-8));
    const auto ranked = importance.ranked();
    for (std::size_t i = 1; i < ranked.size(); ++i) CHECK(ranked[i - 1].normalised >= ranked[i].normalised);
    double squares = 0;  // the scores of a layer have the l2 norm 1
    for (const nn::RankedHead& head : ranked)
      if (head.path == "layer/1") squares += head.normalised * head.normalised;
    CHECK(squares == Approx(1));
  }
}

TEST_CASE("importance of heads is what PyTorch's gradient of a head mask says", "[core][optim][inside]") {
  std::ifstream file(std::string(WEFT_TESTS_DIR) + "/nn/data/heads.json");
  const auto stored = nlohmann::json::parse(file)["importance"];
  constexpr std::int64_t batch = 3, time = 6, heads = 4, width = 8;
  Graph graph;
  const Value x = graph.input("x", f64, {batch, time, width}),
              target = graph.input("target", f64, {batch, time, width});
  const nn::Linear in(graph, "in", {.in = width, .out = 3 * width, .dtype = f64}),
      out(graph, "out", {.in = width, .out = width, .dtype = f64});
  const auto parts = split(in(x), 3, -1);
  const auto of_heads = [&](const Value& v) { return reshape(v, {batch, time, heads, width / heads}); };
  const Value y = attention(of_heads(parts[0]), of_heads(parts[1]), of_heads(parts[2]), {.causal = true});
  const Step step = evaluation(mse_loss(out(reshape(y, {batch, time, width})), target)) | gate_importance(nn::heads());
  Store store(step);
  store.set("in/weight", filled({3 * width, width}, 0.3, 1.7, 1.2));
  store.set("in/bias", filled({3 * width}, 0.1, 2.9, 0.5));
  store.set("out/weight", filled({width, width}, 1.1, 0.7));
  store.set("out/bias", filled({width}, 0.4, 1.3, 0.2));
  Program program(step, store);
  const Tensor tokens = filled({batch, time, width}, 0.2, 2.1), wanted = filled({batch, time, width}, 0.9, 0.31);
  const Result result = program.run({{"x", tokens}, {"target", wanted}});
  CHECK(result.scalar("loss") == Approx(stored["loss"].get<double>()).epsilon(1e-12));
  const Tensor got = result.tensor("importance/attention");
  REQUIRE(got.size() == heads);
  for (std::int64_t h = 0; h < heads; ++h)
    CHECK(got.at(h) == Approx(stored["importance"][static_cast<std::size_t>(h)].get<double>()).epsilon(1e-9));
}

TEST_CASE("importance changes no bit, is that of the whole batch in micro-batches, and goes away",
          "[core][optim][inside]") {
  for (const ProofModel& model : {small_gpt(), small_encoder()}) {
    INFO(model.name);
    const Step step = training_step(model.loss), ranked = step | gate_importance(nn::heads());
    CHECK_THAT(ranked, EquivalentTo(step, once(model)));
    const Step removed = ranked | nn::tap_attention() | remove_taps();
    CHECK(plan(removed).str() == plan(step).str());
    CHECK_THAT(removed | mixed_precision(bf16), EquivalentTo(step | mixed_precision(bf16), once(model)));
    // One weight divides all: the batch can be cut. Terms of several weights meet within each example.
    if (model.loss.terms.size() > 1) continue;
    const NamedTensors feeds = random_feeds(step.graph, 0, {1, model.options.integers, model.options.padding});
    const auto whole = table_of(ranking_of(ranked, feeds_of(feeds)));
    for (const auto& [key, value] : table_of(ranking_of(ranked | accumulate(3), feeds_of(feeds))))
      CHECK(value == Approx(whole.at(key)).epsilon(1e-5));
    // Scaling the loss, or low precision, leaves it what it is.
    for (const auto& [key, value] :
         table_of(ranking_of(step | scale_loss(static_scale(64)) | gate_importance(nn::heads()), feeds_of(feeds))))
      CHECK(value == Approx(whole.at(key)).epsilon(1e-5));
    for (const auto& [key, value] :
         table_of(ranking_of(step | mixed_precision(bf16) | gate_importance(nn::heads()), feeds_of(feeds))))
      CHECK(value == Approx(whole.at(key)).epsilon(0.2));
  }
}

TEST_CASE("head masking: closed heads give the loss and the gradients of a mask of zeros", "[core][optim][inside]") {
  const TwoLayers model(false), by_mask(true);
  const nn::HeadSelections off{{"layer/0", {1}}, {"layer/1", {0, 2}}};
  Tensor xi[2] = {ones(), ones()};
  for (std::int64_t b = 0; b < TwoLayers::batch; ++b) {
    xi[0].data<double>()[b * 3 + 1] = 0;
    xi[1].data<double>()[b * 3] = xi[1].data<double>()[b * 3 + 2] = 0;
  }
  std::vector<Feed> feeds = by_mask.feeds();
  feeds.emplace_back("layer/0/xi0", xi[0]);
  feeds.emplace_back("layer/1/xi1", xi[1]);
  const auto run = [](const Step& step, const std::vector<Feed>& fed) {
    Store store(step, {.seed = 3});
    Program program(step, store);
    const Result result = program.run(fed);
    std::map<std::string, Tensor> tensors;
    for (const Fetch& fetch : step.fetches) tensors[fetch.name] = result.tensor(fetch.name).clone();
    return tensors;
  };
  const auto expected = run(training_step(by_mask.loss) | fetch_gradients(), feeds);
  const auto got = run(training_step(model.loss) | close_gates(nn::heads(off)) | fetch_gradients(), model.feeds());
  const auto open = run(training_step(model.loss) | fetch_gradients(), model.feeds());
  REQUIRE(got.size() == expected.size());
  for (const auto& [name, tensor] : expected) {
    INFO(name);
    for (std::int64_t i = 0; i < tensor.size(); ++i) CHECK(got.at(name).at(i) == Approx(tensor.at(i)).margin(1e-14));
  }
  CHECK(std::abs(open.at("loss").item() - got.at("loss").item()) > 1e-6);
  const auto evaluated = run(evaluation(model.loss) | close_gates(nn::heads(off)), model.feeds());
  CHECK(evaluated.at("loss").item() == Approx(expected.at("loss").item()).epsilon(1e-14));
  // No gradient flows into what makes a closed head's queries.
  const Tensor& q = got.at("gradient/layer/0/q/weight");
  for (std::int64_t i = 0; i < q.size(); ++i) CHECK((q.at(i) == 0) == (i / 12 == 1));
}

TEST_CASE("a masked step can be trained further in every way", "[core][optim][inside]") {
  for (const ProofModel& model : {small_gpt(), small_encoder()}) {
    INFO(model.name);
    const Step masked = training_step(model.loss) | close_gates(nn::heads({{"**", {1}}}));
    CHECK_THAT(masked | accumulate(3), EquivalentTo(masked, once(model)));
    CHECK_THAT(masked | mixed_precision(bf16), EquivalentTo(masked, once(model)));
    CHECK_THAT(masked | checkpoint(every_block()), EquivalentTo(masked, once(model)));
    CHECK_THAT(masked | nn::tap_attention(), EquivalentTo(masked, once(model)));
  }
}

TEST_CASE("the heads that matter least come last, and are what to mask first", "[core][optim][inside]") {
  const TwoLayers model(false);
  const nn::HeadImportance importance =
      ranking_of(evaluation(model.loss) | gate_importance(nn::heads()), model.feeds());
  const auto ranked = importance.ranked();
  const nn::HeadSelections least = importance.least(2);
  REQUIRE(least.size() == 2);
  CHECK(least[1].path == ranked.back().path);
  CHECK(least[1].heads == std::vector<std::int64_t>{ranked.back().head});
  const auto json = nlohmann::json::parse(importance.json());
  CHECK(json.size() == ranked.size());
  CHECK(json[0]["head"] == ranked[0].head);
  CHECK_THAT(importance.str(), ContainsSubstring("importance") && ContainsSubstring("layer/1"));
  // Of some heads: their scores are those of all.
  const Step some = evaluation(model.loss) | gate_importance(nn::heads({{"layer/1", {2}}}));
  const auto part = table_of(ranking_of(some, model.feeds())), all = table_of(importance);
  REQUIRE(part.size() == 1);
  CHECK(part.at({"layer/1", 2}) == all.at({"layer/1", 2}));
}

TEST_CASE("gates and rankings say what is wrong with their place", "[core][optim][inside][errors]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  CHECK_THROWS_WITH(step | accumulate(3) | gate_importance(nn::heads()),
                    ContainsSubstring("gate_importance must come before accumulate(3)"));
  CHECK_THROWS_WITH(step | clip_global_norm(1) | close_gates(nn::heads()),
                    ContainsSubstring("close_gates must come before clip_global_norm"));
  CHECK_THROWS_WITH(step | mixed_precision(bf16) | close_gates(nn::heads()),
                    ContainsSubstring("close_gates must come before mixed_precision"));
  CHECK_THROWS_WITH(step | gate_importance(nn::heads()) | close_gates(nn::heads()),
                    ContainsSubstring("close_gates must come before gate_importance"));
  CHECK_THROWS_WITH(step | gate_importance(nn::heads()) | mixed_precision(bf16),
                    ContainsSubstring("mixed_precision(bf16) must come before gate_importance"));
  CHECK_THROWS_WITH(step | close_gates(nn::heads({{"decoder/3/**", {0}}})),
                    ContainsSubstring("'decoder/3/**' matches no attention"));
  CHECK_THROWS_WITH(step | close_gates(nn::heads({{"**", {-1}}})), ContainsSubstring("has the heads 0 to 1, got -1"));
  CHECK_THROWS_WITH(training_step(test::small_regression().loss) | gate_importance(nn::heads()),
                    ContainsSubstring("has no attention"));

  Graph graph;
  const Value x = graph.input("x", f32, {2, 3, 2, 4}), w = graph.parameter("w", {f32, {4}}, init::ones());
  const Value y = attention(x, x, x);
  CHECK_THROWS_WITH(fetching({y}) | gate_importance(nn::heads()), ContainsSubstring("needs a loss"));
  Step unrelated = training_step(Loss(sum(x * w)));
  CHECK_THROWS_WITH(unrelated | gate_importance(nn::heads()),
                    ContainsSubstring("the loss does not depend on 'attention'"));

  nn::HeadImportance importance;
  CHECK_THROWS_WITH(importance.ranked(), ContainsSubstring("no result was added"));
  Store store(step, {.seed = 5});
  Program program(step, store);
  const NamedTensors feeds = random_feeds(step.graph, 0, {1, model.options.integers, model.options.padding});
  const Result result = program.run(feeds_of(feeds));
  CHECK_THROWS_WITH(importance.add(result, step), ContainsSubstring("publishes no importance of heads"));
  CHECK_THROWS_WITH(importance.add(result, step | gate_importance(nn::heads())),
                    ContainsSubstring("give the step that ran"));
  Step ranking = step | gate_importance(nn::heads());
  Store other(ranking, {.seed = 5});
  Program ranked(ranking, other);
  importance.add(ranked.run(feeds_of(feeds)), ranking);
  CHECK_THROWS_WITH(importance.least(3), ContainsSubstring("2 heads are ranked, 3 are asked for"));
}
