// Small steps for the tests of checkpointing, and what a few runs of them leave behind.
#pragma once

#include <weft/weft.h>

#include <map>
#include <string>
#include <vector>

namespace checkpoint_models {

using namespace weft;

/// A GPT over random tokens, with dropout.
struct Gpt {
  Graph graph;
  Loss loss;
  Value logits;
  Tensor x{i64, {4, 8}}, y{i64, {4, 8}};

  explicit Gpt(std::int64_t layers = 3, double dropout = 0.1, std::int64_t width = 16) {
    const Dim batch = graph.dim("batch", 4), time = graph.dim("time", 8);
    const Value tokens = graph.input("tokens", i64, {batch, time}),
                targets = graph.input("targets", i64, {batch, time});
    const nn::Gpt model(graph,
                        {.vocab = 23, .layers = layers, .heads = 2, .width = width, .context = 8, .dropout = dropout});
    logits = model(tokens);
    loss = cross_entropy(logits, targets);
    for (std::int64_t i = 0; i < 32; ++i) {
      x.data<std::int64_t>()[i] = (7 * i + 3) % 23;
      y.data<std::int64_t>()[i] = i % 11 == 0 ? -100 : (5 * i + 1) % 23;  // some do not count
    }
  }
  Step step() const { return training_step(loss) | clip_global_norm(0.5) | optimize(adamw({.rate = 0.01})); }
  std::vector<Feed> feeds() const { return {{"tokens", x}, {"targets", y}}; }
};

using Bits = std::map<std::string, Tensor>;

/// Every fetch of each of `runs` runs, and every cell of the store after them.
inline Bits run(const Step& step, const std::vector<Feed>& feeds, int threads, int runs = 3) {
  Store store(step.graph, {.seed = 11});
  Program program(step, store, {.threads = threads});
  check_plan(program.plan());
  Bits bits;
  for (int i = 0; i < runs; ++i) {
    const Result result = program.run(feeds);
    for (const Fetch& fetch : program.plan().step.fetches)
      bits.emplace(fmt::format("{} {}", i, fetch.name), result.tensor(fetch.name).clone());
  }
  for (const auto& [path, cell] : store.cells()) bits.emplace(path, cell.tensor.clone());
  return bits;
}

/// The first name whose bits differ; empty where all are the same.
inline std::string first_difference(const Bits& a, const Bits& b) {
  if (a.size() != b.size()) return "the number of values";
  for (const auto& [name, tensor] : a)
    if (!b.contains(name) || !same_bits(tensor, b.at(name))) return name;
  return "";
}

/// With every gradient as a fetch "d PATH".
inline Step fetching_gradients(Step step) {
  for (const Gradient& gradient : step.gradients) step.set_fetch("d " + gradient.parameter.name(), gradient.value);
  return step;
}

/// The clones of a step: nodes made by checkpoint.
inline std::vector<const Node*> clones(const Step& step) {
  std::vector<const Node*> found;
  for (NodeId id : step.graph.ids())
    if (const Node& node = step.graph.node(id); node.provenance.pass == "checkpoint") found.push_back(&node);
  return found;
}
inline std::size_t clones_of(const Step& step, std::string_view op) {
  std::size_t count = 0;
  for (const Node* node : clones(step)) count += node->op->name == op;
  return count;
}

}  // namespace checkpoint_models
