// Does every parameter learn? Read from the step before anything runs, measured while it runs, and traced when it
// breaks.
#include <weft/inspect/divergence/first_nonfinite.h>
#include <weft/inspect/gradients/gradient_history.h>
#include <weft/inspect/gradients/gradient_report.h>
#include <weft/inspect/gradients/tap_gradients.h>
#include <weft/weft.h>

#include <fstream>
#include <iostream>
#include <random>

using namespace weft;

namespace {

constexpr std::int64_t batch = 8, length = 12, vocab = 16;

// Random tokens, and the token before as the target.
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

// A model with three faults: a detached residual, a gate by a comparison, a layer that nobody calls.
bool show_faults() {
  Graph graph;
  const Dim n = graph.dim("batch", batch);
  const Value x = graph.input("x", f32, {n, 8});
  const nn::Linear first(graph, "first", {.in = 8, .out = 8}), gate(graph, "gate", {.in = 8, .out = 8}),
      forgotten(graph, "forgotten", {.in = 8, .out = 8});
  const Value h = tanh(first(x));
  const Value open = cast(greater(gate(x), 0.0), f32);
  const Value y = stop_gradient(h) + h * open;
  const Audit faults = audit(training_step(Loss(mean(square(y)))));
  for (const Finding& finding : faults.findings) std::cout << finding.str() << "\n";
  return faults.healthy();
}

}  // namespace

int main(int count, char** arguments) {
  if (show_faults()) return 1;

  Graph graph;
  const Dim n = graph.dim("batch", batch);
  const Value tokens = graph.input("tokens", i32, {n, length}), targets = graph.input("targets", i32, {n, length});
  const nn::Gpt model(graph, {.vocab = vocab, .layers = 4, .heads = 2, .width = 16, .context = length, .dropout = 0.1});
  const Loss loss = cross_entropy(model(tokens), targets);
  const Step step = training_step(loss) | optimize(adamw({.rate = 3e-3}));

  const Audit learns = audit(step);
  std::cout << learns;
  if (!learns.healthy()) return 1;

  const Step watched = step | tap_gradients();
  Store store(watched, {.seed = 1});
  Program train(watched, store);
  GradientHistory history;
  for (std::uint32_t s = 0; s < 40; ++s) {
    const Batch data(s);
    const GradientReport report = gradient_report(train.run(data.feeds()), watched);
    history.add(s, report);
    for (const Verdict& verdict : report.verdicts) std::cout << "step " << s << ": " << verdict.str() << "\n";
    if (s == 39) std::cout << report;
  }
  if (count > 1) std::ofstream(arguments[1]) << history.svg();  // the picture of docs/gradient-flow.md

  // A weight that blew up: which node is the first to feel it?
  Tensor weight = store.tensor("decoder/2/attention/query/weight");
  for (std::int64_t i = 0; i < weight.size(); ++i) weight.data<float>()[i] *= 1e38F;
  const Batch data(100);
  if (const auto found = first_nonfinite(step, store, data.feeds())) std::cout << found->str();
}
