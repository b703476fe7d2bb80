#include "gallery.h"

#include <weft/weft.h>

namespace weft::gallery {

Group model_errors() {
  return {"Models",
          "model_errors.cpp",
          {
              {"A layer without a size",
               {"Linear 'head' (model_errors.cpp:", "needs positive sizes, got in 0 and out 10"},
               [] {
                 Graph graph;
                 nn::Linear(graph, "head", {.out = 10});
               }},
              {"A norm without a width",
               {"LayerNorm 'norm' (model_errors.cpp:", "needs a positive width, got 0"},
               [] {
                 Graph graph;
                 nn::LayerNorm(graph, "norm", {});
               }},
              {"A table without rows",
               {"Embedding 'tokens' (model_errors.cpp:", "needs positive sizes, got count 0 and width 64"},
               [] {
                 Graph graph;
                 nn::Embedding(graph, "tokens", {.width = 64});
               }},
              {"A GPT whose heads do not divide its width",
               {"Gpt (model_errors.cpp:", "heads must divide width, got 6 heads and width 64"},
               [] {
                 Graph graph;
                 nn::Gpt(graph, {.vocab = 65, .layers = 2, .heads = 6, .width = 64, .context = 32});
               }},
              {"A GPT that lacks a size",
               {"Gpt (model_errors.cpp:", "needs positive sizes, got vocab 65, layers 2, heads 4, width 64, context 0"},
               [] {
                 Graph graph;
                 nn::Gpt(graph, {.vocab = 65, .layers = 2, .heads = 4, .width = 64});
               }},
              {"More tokens than a GPT has positions",
               {"embedding (model_errors.cpp:",
                "Gpt needs tokens [batch, time] with time at most its context of 8, got i32[2, 16]"},
               [] {
                 Graph graph;
                 const nn::Gpt model(graph, {.vocab = 65, .layers = 1, .heads = 2, .width = 8, .context = 8});
                 model(graph.input("tokens", i32, {2, 16}));
                 graph.check();
               }},
              {"An input of another width",
               {"up/linear (model_errors.cpp:",
                "[linear] x must be [.., in] for a weight [out, in]: got [4, 32] and [8, 64]"},
               [] {
                 Graph graph;
                 const nn::Linear up(graph, "up", {.in = 64, .out = 8});
                 up(graph.input("x", f32, {4, 32}));
                 graph.check();
               }},
              {"A feed-forward of an unknown activation",
               {"FeedForward 'mlp' (model_errors.cpp:", "unknown activation 'swoosh': expected one of"},
               [] {
                 Graph graph;
                 nn::FeedForward(graph, "mlp", {.width = 16, .activation = "swoosh"});
               }},
              {"Multi-head attention whose heads do not divide its width",
               {"attention 'attention' (model_errors.cpp:", "got"},
               [] {
                 Graph graph;
                 nn::MultiheadAttention(graph, "attention", {.width = 10, .heads = 4});
               }},
              {"A cache without room",
               {"KeyValueCache 'cache' (model_errors.cpp:", "needs positive sizes, got batch 1, capacity 0"},
               [] {
                 Graph graph;
                 nn::KeyValueCache(graph, "cache", {.head_width = 8});
               }},
              {"A graph that appends twice to one cache",
               {"KeyValueCache 'cache' (model_errors.cpp:", "a graph appends once, this is the second time"},
               [] {
                 Graph graph;
                 nn::KeyValueCache cache(graph, "cache", {.capacity = 4, .head_width = 8});
                 const Value k = graph.input("k", f32, {1, 1, 1, 8});
                 cache.append(k, k);
                 cache.append(k, k);
               }},
              {"A cache that is full",
               {"the cache is full: example 0 holds 4 of at most 4 tokens, and 3 more do not fit; hint: crop() or a "
                "larger capacity"},
               [] {
                 Graph graph;
                 nn::KeyValueCache cache(graph, "cache", {.capacity = 4, .head_width = 8});
                 const Value k = graph.input("k", f32, {1, 2, 1, 8}), room = graph.input("room", i32, {});
                 evaluate(require_room(room, 3, 4), {{"room", Tensor::scalar<std::int32_t>(4)}});
               }},
              {"More heads are pruned than there are",
               {"pruning heads of", "model_errors.cpp:"},
               [] { nn::without_heads({.width = 16, .heads = 2}, {0, 1}); }},
              {"A ranking of heads that nothing fed",
               {"HeadImportance: no result was added"},
               [] { nn::HeadImportance().ranked(); }},
              {"A monitor that goes back in time",
               {"CollapseMonitor: steps must increase, got 5 after 10"},
               [] {
                 nn::CollapseMonitor monitor;
                 monitor.observe(10, nn::AttentionReport());
                 monitor.observe(5, nn::AttentionReport());
               }},
          }};
}

}  // namespace weft::gallery
