#include <equivalence/models.h>

#include <limits>

namespace weft::test {

ProofModel small_gpt() {
  Graph graph;
  const Dim batch = graph.dim("batch", 6), time = graph.dim("time", 4);
  const Value tokens = graph.input("tokens", i32, {batch, time});
  const Value targets = graph.input("targets", i32, {batch, time});
  const nn::Gpt model(
      graph, {.vocab = 13, .layers = 1, .heads = 2, .width = 8, .context = 4, .dropout = 0.1, .deviation = 0.3});
  return {"gpt",
          cross_entropy(model(tokens), targets),
          {.runs = 3, .integers = {{"tokens", 13}, {"targets", 13}}, .padding = {{"targets", -100}}}};
}

ProofModel small_encoder() {
  Graph graph;
  constexpr std::int64_t width = 8, vocab = 11, classes = 3;
  const Dim batch = graph.dim("batch", 6), time = graph.dim("time", 5);
  const Value tokens = graph.input("tokens", i32, {batch, time});
  const Value targets = graph.input("targets", i64, {batch, time});
  const Value labels = graph.input("labels", i32, {batch});
  const nn::Embedding table(graph, "embedding", {.count = vocab, .width = width, .init = init::normal(0, 0.5)});
  const nn::Attention attention(graph, "attention", {.width = width, .heads = 2, .dropout = 0.1});
  const nn::FeedForward feed_forward(graph, "feed_forward", {.width = width, .hidden = 12});
  const nn::LayerNorm first(graph, "first_norm", {.width = width}), second(graph, "second_norm", {.width = width});
  const nn::Linear words(graph, "words", {.in = width, .out = vocab}),
      kinds(graph, "kinds", {.in = width, .out = classes});

  const Value mask = padding_mask(tokens, 0);
  Value x = dropout(table(tokens), 0.1);
  x = first(x + attention(x, {.mask = mask}));
  x = second(x + dropout(feed_forward(x), 0.1));
  const Value pooled = mean(x, {.axes = {1}});
  return {"encoder",
          cross_entropy(words(x), targets) + 0.3 * cross_entropy(kinds(pooled), labels, {.label_smoothing = 0.1}),
          {.runs = 3,
           .integers = {{"tokens", vocab}, {"targets", vocab}, {"labels", classes}},
           .padding = {{"tokens", 0}, {"targets", -100}, {"labels", -100}}}};
}

ProofModel small_regression() {
  Graph graph;
  const Dim batch = graph.dim("batch", 6);
  const Value x = graph.input("x", f32, {batch, 4}), y = graph.input("y", f32, {batch, 2});
  const nn::Linear hidden(graph, "hidden", {.in = 4, .out = 8}), out(graph, "out", {.in = 8, .out = 2});
  const Value guess = out(dropout(tanh(hidden(x)), 0.1));
  const Value size = sum_squares(hidden.weight) + sum_squares(out.weight);
  const Loss loss = mse_loss(guess, y) + 0.01 * Loss(size);
  auto feeds = [graph](std::int64_t run) {
    NamedTensors tensors = random_feeds(graph, run);
    if (run == 1) tensors[1].second.data<float>()[9] = std::numeric_limits<float>::infinity();
    return tensors;
  };
  return {"regression", loss, {.runs = 4, .feeds = feeds}};
}

std::vector<ProofModel> proof_models() { return {small_gpt(), small_encoder(), small_regression()}; }

}  // namespace weft::test
