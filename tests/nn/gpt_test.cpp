#include <weft/nn/gpt.h>
#include <weft/ops/loss/cross_entropy.h>
#include <weft/optim/training_step.h>
#include <weft/runtime/program.h>

#include <support/catch.h>

#include <algorithm>
#include <cmath>
#include <set>

using namespace weft;

namespace {

struct Tokens {
  Graph graph;
  Value ids = graph.input("tokens", i32, {graph.dim("batch", 2), graph.dim("time", 5)});
};

std::set<std::string> names_of(const Graph& graph) {
  std::set<std::string> names;
  for (const Value& parameter : graph.parameters()) names.insert(parameter.name());
  return names;
}

Tensor some_tokens() { return Tensor::of<std::int32_t>({2, 5}, {1, 2, 3, 4, 5, 6, 5, 4, 3, 2}); }

}  // namespace

TEST_CASE("the parameters of a GPT are named by their paths", "[core][nn]") {
  Tokens in;
  const nn::Gpt model(in.graph, {.vocab = 7, .layers = 1, .heads = 2, .width = 8, .context = 5});
  std::set<std::string> expected{"embedding/tokens/weight", "embedding/positions/weight", "norm/weight", "norm/bias"};
  for (const char* part : {"attention_norm", "attention/query", "attention/key", "attention/value", "attention/out",
                           "feed_forward_norm", "feed_forward/up", "feed_forward/down"})
    for (const char* kind : {"weight", "bias"}) expected.insert(fmt::format("decoder/0/{}/{}", part, kind));
  CHECK(names_of(in.graph) == expected);
}

TEST_CASE("without biases and tied no parameter but weights is made", "[core][nn]") {
  Tokens in;
  const nn::Gpt model(in.graph, {.vocab = 7, .layers = 2, .heads = 2, .width = 8, .context = 5, .bias = false});
  for (const std::string& name : names_of(in.graph)) CHECK_THAT(name, EndsWith("/weight"));
  CHECK(model.head == model.tokens.weight);

  Tokens other;
  const nn::Gpt untied(other.graph,
                       {.vocab = 7, .layers = 2, .heads = 2, .width = 8, .context = 5, .bias = false, .tied = false});
  CHECK(names_of(other.graph).size() == names_of(in.graph).size() + 1);
  CHECK(names_of(other.graph).contains("head/weight"));
}

TEST_CASE("weights start as in GPT-2, norms at one and biases at zero", "[core][nn]") {
  Graph graph;
  const nn::Gpt model(graph, {.vocab = 50, .layers = 2, .heads = 2, .width = 64, .context = 32});
  const Store store(graph, {.seed = 3});
  auto deviation = [&](const char* path) {
    const Tensor& tensor = store.tensor(path);
    double squares = 0;
    for (float value : tensor.values<float>()) squares += static_cast<double>(value) * static_cast<double>(value);
    return std::sqrt(squares / static_cast<double>(tensor.size()));
  };
  CHECK(deviation("embedding/tokens/weight") == Approx(0.02).epsilon(0.06));
  CHECK(deviation("decoder/1/attention/query/weight") == Approx(0.02).epsilon(0.06));
  CHECK(deviation("decoder/1/attention/out/weight") == Approx(0.01).epsilon(0.06));
  CHECK(deviation("decoder/0/feed_forward/down/weight") == Approx(0.01).epsilon(0.06));
  CHECK(std::ranges::all_of(store.tensor("norm/weight").values<float>(), [](float v) { return v == 1; }));
  CHECK(std::ranges::all_of(store.tensor("norm/bias").values<float>(), [](float v) { return v == 0; }));
}

TEST_CASE("a module that is called twice shares its weights", "[core][nn]") {
  Tokens in;
  const nn::Gpt model(in.graph, {.vocab = 7, .layers = 1, .heads = 2, .width = 8, .context = 5});
  const std::size_t parameters = in.graph.parameters().size();
  const Value first = model(in.ids);
  const Value second = model(in.ids);
  CHECK(in.graph.parameters().size() == parameters);
  const Tensor tokens = some_tokens();
  const auto both = evaluate({first, second}, std::vector<Feed>{{"tokens", tokens}});
  CHECK(same_bits(both[0], both[1]));
}

TEST_CASE("a later token changes no earlier logits", "[core][nn]") {
  Tokens in;
  const nn::Gpt model(in.graph, {.vocab = 7, .layers = 2, .heads = 2, .width = 8, .context = 5, .dtype = f64});
  const Value logits = model(in.ids);
  const Tensor before = some_tokens();
  Tensor after = before.clone();
  after.data<std::int32_t>()[3] = 0;  // row 0, place 3
  const Tensor a = evaluate(logits, {{"tokens", before}});
  const Tensor b = evaluate(logits, {{"tokens", after}});
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const bool may_differ = i / 7 == 3 || i / 7 == 4;
    if (!may_differ) CHECK(a.at(i) == b.at(i));
  }
  CHECK(a.at(3 * 7) != b.at(3 * 7));
  CHECK(a.at(4 * 7) != b.at(4 * 7));
}

TEST_CASE("nodes of a model carry its paths and the user's line", "[core][nn]") {
  Tokens in;
  const nn::Gpt model(in.graph, {.vocab = 7, .layers = 2, .heads = 2, .width = 8, .context = 5});
  const Value logits = model(in.ids);
  const auto line = std::source_location::current().line() - 1;
  in.graph.check();
  bool attention_seen = false;
  for (NodeId id : in.graph.ids()) {
    const Node& node = in.graph.node(id);
    attention_seen |= node.name.starts_with("decoder/1/attention/attention");
    if (node.op->name == "attention" || node.op->name == "linear") CHECK(node.where.line() == line);
  }
  CHECK(attention_seen);
  CHECK(logits.shape() == Shape{2, 5, 7});
}

TEST_CASE("a dropped GPT draws anew each run and nothing outside training", "[core][nn]") {
  Tokens in;
  const Value targets = in.graph.input("targets", i32, {2, 5});
  const nn::Gpt model(in.graph, {.vocab = 7, .layers = 1, .heads = 2, .width = 8, .context = 5, .dropout = 0.5});
  const Value logits = model(in.ids);
  const Loss loss = cross_entropy(logits, targets);
  Store store(in.graph, {.seed = 1});
  const Tensor x = some_tokens();
  Program train(training_step(loss), store);
  const double first = train.run({{"tokens", x}, {"targets", x}}).scalar("loss");
  CHECK(train.run({{"tokens", x}, {"targets", x}}).scalar("loss") != first);
  Program test(evaluation(loss), store);
  const double calm = test.run({{"tokens", x}, {"targets", x}}).scalar("loss");
  CHECK(test.run({{"tokens", x}, {"targets", x}}).scalar("loss") == calm);
}

TEST_CASE("a model that cannot be is refused at the user's line", "[core][nn][errors]") {
  Tokens in;
  CHECK_THROWS_WITH(nn::Gpt(in.graph, {.vocab = 7, .layers = 1, .heads = 3, .width = 8, .context = 5}),
                    ContainsSubstring("gpt_test.cpp") && ContainsSubstring("heads must divide width"));
  CHECK_THROWS_WITH(nn::Gpt(in.graph, {.vocab = 7, .layers = 0, .heads = 2, .width = 8, .context = 5}),
                    ContainsSubstring("layers 0"));
  CHECK_THROWS_WITH(nn::Gpt(in.graph, {.vocab = 7, .layers = 1, .heads = 2, .width = 8, .context = 5, .dropout = 1}),
                    ContainsSubstring("dropout"));
  Tokens again;
  const nn::Gpt model(again.graph, {.vocab = 7, .layers = 1, .heads = 2, .width = 8, .context = 4});
  CHECK_FALSE(model(again.ids).valid());
  CHECK_THROWS_WITH(again.graph.check(),
                    ContainsSubstring("at most its context of 4") && ContainsSubstring("gpt_test.cpp"));
}
