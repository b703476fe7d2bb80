#include "gallery.h"

#include <weft/weft.h>

namespace weft::gallery {

Group attention_errors() {
  return {"Attention",
          "attention_errors.cpp",
          {
              {"Heads that the key heads do not divide",
               {"[attention] kv_heads must divide heads, got 3 and 8"},
               [] {
                 Graph graph;
                 const Value q = graph.input("q", f32, {2, 5, 8, 16});  // [batch, time, heads, width]
                 const Value k = graph.input("k", f32, {2, 5, 3, 16});
                 attention(q, k, k);
                 graph.check();
               }},
              {"A mask that does not cover the scores",
               {"[attention]", "must broadcast to [batch, heads, time_q, time_k] = [2, 4, 6, 6], got [6, 5]"},
               [] {
                 Graph graph;
                 const Value x = graph.input("x", f32, {2, 6, 4, 8});
                 attention(x, x, x, {.mask = graph.input("mask", boolean, {6, 5})});
                 graph.check();
               }},
              {"Options out of their range",
               {"[attention] scale / temperature must be positive, got -1"},
               [] {
                 Graph graph;
                 const Value x = graph.input("x", f32, {2, 6, 4, 8});
                 attention(x, x, x, {.scale = -1.0});
                 graph.check();
               }},
              {"A window of less than nothing",
               {"window must be at least 1 (0: none), got -3"},
               [] {
                 Graph graph;
                 const Value x = graph.input("x", f32, {2, 6, 4, 8});
                 attention(x, x, x, {.window = -3});
                 graph.check();
               }},
              {"A function of scores that is not pointwise",
               {"is not pointwise, and a function of scores runs block by block", "AttentionMethod::plain",
                "attention_errors.cpp:"},
               [] {
                 Graph graph;
                 const Value x = graph.input("x", f32, {2, 6, 4, 8});
                 const auto centred = [](const AttentionScore& s) {
                   return s.score - mean(s.score, {.axes = {-1}, .keep = true});
                 };
                 attention(x, x, x, {.score = centred});
                 graph.check();
               }},
              {"A function of scores of another type",
               {"must give f32 that broadcasts to [", "got f64[", "attention_errors.cpp:"},
               [] {
                 Graph graph;
                 const Value x = graph.input("x", f32, {2, 6, 4, 8});
                 attention(x, x, x, {.score = [](const AttentionScore& s) { return cast(s.score, f64); }});
                 graph.check();
               }},
              {"A function of scores that forgets to give one",
               {"a function of scores (attention_errors.cpp:", "gave no value"},
               [] {
                 Graph graph;
                 const Value x = graph.input("x", f32, {2, 6, 4, 8});
                 attention(x, x, x, {.score = [](const AttentionScore&) { return Value(); }});
                 graph.check();
               }},
              {"A pattern of blocks for another length",
               {"a pattern of 1 x 2 blocks of 2 covers 2 queries and 4 keys, but attention has 6 and 6"},
               [] {
                 Graph graph;
                 const Value x = graph.input("x", f32, {2, 6, 4, 8});
                 attention(x, x, x, {.pairs = pairs::blocks({{true, false}}, 2)});
                 graph.check();
               }},
              {"Rotary positions of an odd width",
               {"rotary (attention_errors.cpp:", "the width must be even, positive and at most the head's 7, got 7"},
               [] {
                 Graph graph;
                 rotary(graph.input("q", f32, {2, 6, 4, 7}));
               }},
              {"Slopes of another number of heads",
               {"ALiBi's slopes are of 4 heads, but attention has 8"},
               [] {
                 Graph graph;
                 const Value x = graph.input("x", f32, {2, 6, 8, 16});
                 attention(x, x, x, {.score = modifiers::alibi(4)});
                 graph.check();
               }},
              {"Statistics of what is no attention",
               {"is no attention but the op"},
               [] {
                 Graph graph;
                 attention_weights_of(tanh(graph.input("x", f32, {2, 6, 4, 8})));
               }},
              {"A tap where there is no attention",
               {"attention_errors.cpp:", ": tap_attention: this step has no attention; hint: "},
               [] {
                 Graph graph;
                 const Value w = graph.parameter("w", {f32, {3}}, init::ones());
                 training_step(sum(w * w)) | nn::tap_attention();
               }},
              {"A pattern that matches no attention",
               {"the pattern 'encoder/**' matches no attention; hint: the first of 1 is 'attention'"},
               [] {
                 Graph graph;
                 const Value w = graph.parameter("w", {f32, {2, 6, 4, 8}}, init::ones());
                 training_step(sum(attention(w, w, w))) | nn::tap_attention({.of = {{"encoder/**"}}});
               }},
              {"A head that the attention has not",
               {"'attention' has the heads 0 to 3, got 9"},
               [] {
                 Graph graph;
                 const Value w = graph.parameter("w", {f32, {2, 6, 4, 8}}, init::ones());
                 training_step(sum(attention(w, w, w))) | gate_importance(nn::heads({{"attention", {9}}}));
               }},
          }};
}

}  // namespace weft::gallery
