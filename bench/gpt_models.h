// The GPTs of the benches.
#pragma once

#include <weft/weft.h>

#include <map>
#include <string>

struct GptModel {
  std::int64_t batch, time, layers, heads, width, vocab;
};

inline const std::map<std::string, GptModel> gpt_models{{"nano", {12, 64, 4, 4, 128, 65}},
                                                        {"small", {8, 256, 6, 6, 384, 65}},
                                                        {"gpt2", {4, 64, 12, 12, 768, 50257}},
                                                        {"gpt2_1024", {4, 1024, 12, 12, 768, 50257}}};

/// Its loss on inputs "tokens" and "targets".
inline weft::Loss loss_of(const weft::Graph& in, const GptModel& model, double dropout = 0) {
  weft::Graph graph = in;
  const weft::Dim batch = graph.dim("batch", model.batch), time = graph.dim("time", model.time);
  const weft::Value tokens = graph.input("tokens", weft::i32, {batch, time});
  const weft::Value targets = graph.input("targets", weft::i32, {batch, time});
  const weft::nn::Gpt gpt(graph, {.vocab = model.vocab,
                                  .layers = model.layers,
                                  .heads = model.heads,
                                  .width = model.width,
                                  .context = model.time,
                                  .dropout = dropout,
                                  .activation = "gelu_tanh"});
  return weft::cross_entropy(gpt(tokens), targets);
}
