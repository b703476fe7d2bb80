// A small GPT learns one sentence by heart: graph, loss, step, program, in the order in which one writes them.
#include <weft/weft.h>

#include <iostream>
#include <string>

using namespace weft;

int main() {
  Graph graph;
  const Dim batch = graph.dim("batch", 8), time = graph.dim("time", 16);
  const Value tokens = graph.input("tokens", i32, {batch, time});
  const Value targets = graph.input("targets", i32, {batch, time});

  const nn::Gpt model(graph, {.vocab = 128, .layers = 2, .heads = 2, .width = 32, .context = 16});
  const Loss loss = cross_entropy(model(tokens), targets);

  const Step step = training_step(loss)      // adds the backward pass as nodes
                    | clip_global_norm(1.0)  // the norm over all parameters
                    | optimize(adamw({.rate = warmup_cosine(1e-2, 10, 150)}));
  std::cout << audit(step) << plan(step);  // who learns, what will run, in how many bytes

  Store store(graph, {.seed = 1});
  Program train(step, store);
  const std::string text = "to be, or not to be, that is the question: ";
  Tensor x(i32, {8, 16}), y(i32, {8, 16});
  double last = 0;
  for (std::size_t i = 0; i < 150; ++i) {
    for (std::size_t j = 0; j < 8 * 16; ++j) {  // row r starts at its own letter
      const std::size_t at = 5 * (8 * i + j / 16) + j % 16;
      x.data<std::int32_t>()[j] = text[at % text.size()];
      y.data<std::int32_t>()[j] = text[(at + 1) % text.size()];
    }
    last = train.run({{"tokens", x}, {"targets", y}}).scalar("loss");
    if (i % 25 == 0) std::cout << "step " << i << ": loss " << last << '\n';
  }
  std::cout << "last loss " << last << '\n';
  return last < 0.2 ? 0 : 1;
}
