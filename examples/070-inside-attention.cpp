// Looking inside attention: what each head looks at while it learns, which heads matter, and the model without the
// others.
#include <weft/weft.h>

#include <iostream>
#include <random>
#include <vector>

using namespace weft;

namespace {

constexpr std::int64_t batch = 16, length = 12, vocab = 16;

// Random tokens, and the token before as the target: a task that one head can do by looking one place back.
struct Batch {
  Tensor tokens = Tensor(i32, {batch, length}), targets = Tensor(i32, {batch, length});

  explicit Batch(std::uint32_t seed) {
    std::mt19937 random(seed);
    for (std::int64_t i = 0; i < batch * length; ++i) {
      tokens.data<std::int32_t>()[i] = static_cast<std::int32_t>(random() % vocab);
      targets.data<std::int32_t>()[i] = i % length == 0 ? -100 : tokens.data<std::int32_t>()[i - 1];
    }
  }
  std::vector<Feed> feeds() const { return {{"tokens", tokens}, {"targets", targets}}; }
};

}  // namespace

int main() {
  Graph graph;
  const Dim n = graph.dim("batch", batch);
  const Value tokens = graph.input("tokens", i32, {n, length}), targets = graph.input("targets", i32, {n, length});
  const nn::Gpt model(graph,
                      {.vocab = vocab, .layers = 1, .heads = 4, .width = 32, .context = length, .deviation = 0.1});
  const Loss loss = cross_entropy(model(tokens), targets);

  // Taps on a training step: same bits of everything else, and remove_taps() takes them out again.
  const Step step = training_step(loss) | optimize(adamw({.rate = 1e-2})) | nn::tap_attention();
  Store store(step, {.seed = 1});
  Program train(step, store);
  nn::CollapseMonitor monitor;
  for (std::uint32_t s = 0; s < 150; ++s) {
    const Batch data(s);
    const Result result = train.run(data.feeds());
    for (const nn::Collapse& collapse : monitor.observe(s, result, step)) std::cout << collapse.str() << "\n";
    if (s % 50 == 49)
      std::cout << "step " << s + 1 << ", loss " << result.scalar("loss") << "\n"
                << nn::attention_report(result, step) << "\n";
  }

  // Which heads matter: by the gradient of a mask over the heads (Michel et al. 2019).
  const Step ranking = evaluation(loss) | gate_importance(nn::heads());
  Program ranks(ranking, store);
  nn::HeadImportance importance;
  for (std::uint32_t s = 1000; s < 1004; ++s) importance.add(ranks.run(Batch(s).feeds()), ranking);
  std::cout << importance << "\n";

  // The loss without the head that matters least, and without the one that matters most.
  const Batch data(2000);
  const auto loss_without = [&](const nn::HeadSelections& heads) {
    Program masked(evaluation(loss) | close_gates(nn::heads(heads)), store);
    return masked.run(data.feeds()).scalar("loss");
  };
  const nn::RankedHead most = importance.ranked().front();
  std::cout << "loss without the least important head " << loss_without(importance.least(1))
            << ", without the most important one " << loss_without({{most.path, {most.head}}}) << "\n";
}
