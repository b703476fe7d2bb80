#include "gallery.h"

#include <weft/weft.h>

namespace weft::gallery {

Group order_errors() {
  return {
      "Transforms in the wrong order or place",
      "order_errors.cpp",
      {
          {"Clipping after the update",
           {"clip_global_norm must come before optimize(adamw): the parameters are already updated by optimize(adamw)",
            "the right order: training_step | clip_global_norm | optimize(adamw); hint: put clip_global_norm right "
            "after training_step"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             training_step(sum(w * w)) | optimize(adamw({})) | clip_global_norm(1.0);
           }},
          {"Scaling the loss of clipped gradients",
           {"scale_loss must come before clip_value", "hint: put scale_loss right after training_step"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             training_step(sum(w * w)) | clip_value(1.0) | scale_loss(dynamic_scale());
           }},
          {"A transform twice",
           {"scale_loss can be applied once: the loss is already scaled by scale_loss",
            "hint: leave one of the two out"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             training_step(sum(w * w)) | scale_loss(static_scale(8)) | scale_loss(static_scale(8));
           }},
          {"A transform that needs another",
           {"average_weights needs 'optimized', which nothing in training_step provides; the right order: "
            "training_step | "
            "optimize(adamw()) | average_weights; hint: put optimize(adamw()) before average_weights"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             training_step(sum(w * w)) | average_weights();
           }},
          {"Gradients are clipped where there are none",
           {"clip_global_norm needs 'gradients', which nothing in evaluation provides; hint: training_step(loss) | ... "
            "| clip_global_norm"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             evaluation(sum(w * w)) | clip_global_norm(1.0);
           }},
          {"Two transforms that exclude each other",
           {"accumulate_over_runs(2) and accumulate(2) exclude each other", "hint: leave one of the two out"},
           [] {
             Graph graph;
             const Value x = graph.input("x", f32, {graph.dim("batch", 8), 3});
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             const Step step = training_step(LossTerm{1, sum(x * w), sum(x)});
             step | accumulate(2) | accumulate_over_runs(2);
           }},
          {"Micro-batches that do not divide the batch",
           {"5 micro-batches do not divide the batch of 12; hint: take a divisor of the batch", "order_errors.cpp:"},
           [] {
             Graph graph;
             const Value x = graph.input("x", f32, {graph.dim("batch", 12), 3});
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             training_step(LossTerm{1, sum(x * w), sum(x)}) | accumulate(5);
           }},
          {"A loss that micro-batches cannot add up",
           {"the loss term mean (order_errors.cpp:", "is no sum over the examples",
            "hint: give the loss as a sum over the examples and a weight"},
           [] {
             Graph graph;
             const Value x = graph.input("x", f32, {graph.dim("batch", 12), 3});
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             training_step(mean(x * w)) | accumulate(4);
           }},
          {"A group that matches no parameter",
           {"the group 'decoder/**' matches no parameter; hint: the first of 1 are w"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             training_step(sum(w * w)) | optimize(adamw({.groups = {{.pattern = "decoder/**", .weight_decay = 0}}}));
           }},
          {"A parameter that no optimizer claims",
           {"no optimizer claims 1 of 2 parameters: b; hint: a last {\"**\", ...} claims the rest"},
           [] {
             Graph graph;
             const Value a = graph.parameter("a", {f32, {3}}, init::ones());
             const Value b = graph.parameter("b", {f32, {3}}, init::ones());
             training_step(sum(a * b)) | optimize({{"a", sgd({.rate = 0.1})}});
           }},
          {"An optimizer that gets no parameter",
           {"gets no parameter: earlier patterns match all of its own; hint: the first match wins, so put the narrower "
            "pattern first"},
           [] {
             Graph graph;
             const Value a = graph.parameter("a", {f32, {3}}, init::ones());
             training_step(sum(a * a)) | optimize({{"**", adamw({})}, {"a", sgd({.rate = 0.1})}});
           }},
          {"Nothing is left to train",
           {"leaves nothing to train: all 1 parameters with a gradient are frozen"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             training_step(sum(w * w)) | freeze("**");
           }},
          {"Freezing what does not exist",
           {"order_errors.cpp:",
            ": freeze: the pattern 'embeding/**' matches no trained parameter; hint: the first of 1 is "
            "embedding/weight"},
           [] {
             Graph graph;
             const Value w = graph.parameter("embedding/weight", {f32, {3}}, init::ones());
             training_step(sum(w * w)) | freeze("embeding/**");
           }},
          {"Small updates to narrow parameters",
           {"sgd: the parameter 'w' (order_errors.cpp:",
            "is bf16[3], in which small updates round to nothing; hint: keep it f32 and "
            "compute in bf16 by mixed_precision(bf16)"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {bf16, {3}}, init::ones());
             training_step(sum(cast(w, f32))) | optimize(sgd({.rate = 0.1}));
           }},
          {"Muon for a vector",
           {"muon needs parameters of 2 axes, 'bias' (order_errors.cpp:", "is f32[3]; hint: give it to another"},
           [] {
             Graph graph;
             const Value bias = graph.parameter("bias", {f32, {3}}, init::ones());
             training_step(sum(bias * bias)) | optimize(muon({}));
           }},
          {"Mixed precision in a wide type",
           {"order_errors.cpp:", ": mixed_precision needs a type of two bytes, bf16 or f16, got f64"},
           [] { mixed_precision(f64); }},
          {"An override of precision that matches nothing",
           {"the override 'head/**' matches no node; hint: the first of"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3, 3}}, init::ones());
             training_step(sum(matmul(w, w))) | mixed_precision(bf16, {.overrides = {{"head/**", f32}}});
           }},
          {"Gradients of a parameter that has none",
           {"fetch_gradients: the pattern 'b' matches no parameter; hint: the first of 1 with a gradient are a"},
           [] {
             Graph graph;
             const Value a = graph.parameter("a", {f32, {3}}, init::ones());
             training_step(sum(a * a)) | fetch_gradients("b");
           }},
          {"Taps are removed where there are none",
           {"remove_taps: nothing taps this step; hint: step | tap_attention()"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             training_step(sum(w * w)) | remove_taps();
           }},
          {"Steps over different graphs are compared",
           {"steps over different graphs cannot be compared: the parameter 'a' (order_errors.cpp:",
            "is not in the second; hint: build both from one loss"},
           [] {
             Graph one, two;
             const Value a = one.parameter("a", {f32, {3}}, init::ones());
             const Value b = two.parameter("b", {f32, {3}}, init::ones());
             verify_equivalent(training_step(sum(a * a)), training_step(sum(b * b)));
           }},
      }};
}

}  // namespace weft::gallery
