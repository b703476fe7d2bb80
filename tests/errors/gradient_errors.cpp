#include "gallery.h"

#include <weft/weft.h>

namespace weft::gallery {

Group gradient_errors() {
  return {
      "Losses and gradients",
      "gradient_errors.cpp",
      {
          {"A loss that is not one number",
           {"a loss must be one number of a floating type, multiply (gradient_errors.cpp:",
            "is f32[3]; hint: sum(x) or mean(x)"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             training_step(w * w);
           }},
          {"No loss at all",
           {"there is no loss to train; hint: Loss loss = cross_entropy(logits, targets)"},
           [] { training_step(Loss()); }},
          {"A loss that reaches no parameter",
           {"the loss sum (gradient_errors.cpp:",
            "reaches no parameter, so there is nothing to train; the graph has 1 parameters"},
           [] {
             Graph graph;
             graph.parameter("w", {f32, {3}}, init::ones());
             training_step(sum(graph.input("x", f32, {3})));
           }},
          {"The gradient by what the loss does not use",
           {"sum does not depend on b (gradient_errors.cpp:",
            "in a differentiable way; hint: audit(step) says where the path is cut"},
           [] {
             Graph graph;
             const Value a = graph.parameter("a", {f32, {3}}, init::ones());
             const Value b = graph.parameter("b", {f32, {3}}, init::ones());
             gradient(sum(a * stop_gradient(b)), {b});
           }},
          {"The gradient by a value of another graph",
           {"the value 'b' (gradient_errors.cpp:",
            "to differentiate by is not in the loss's graph; hint: step.find(value)"},
           [] {
             Graph one, two;
             const Value a = one.parameter("a", {f32, {3}}, init::ones());
             gradient(sum(a), {two.parameter("b", {f32, {3}}, init::ones())});
           }},
          {"A cotangent of another type",
           {"the cotangent of multiply (gradient_errors.cpp:",
            "must be f32[3], got f32[2] from v (gradient_errors.cpp:"},
           [] {
             Graph graph;
             const Value a = graph.parameter("a", {f32, {3}}, init::ones());
             vector_jacobian({a * 2.0}, {graph.input("v", f32, {2})}, {a});
           }},
          {"Too few cotangents",
           {"2 outputs need 2 cotangents, got 1"},
           [] {
             Graph graph;
             const Value a = graph.parameter("a", {f32, {3}}, init::ones());
             vector_jacobian({a * 2.0, a * 3.0}, {graph.input("v", f32, {3})}, {a});
           }},
          {"Finite differences in too narrow a type",
           {"check_gradients needs f64 outputs, sum (gradient_errors.cpp:", "is f32[]; hint: build the model in f64"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             check_gradients(sum(w * w), {w});
           }},
          {"Finite differences by what cannot be moved",
           {"check_gradients differentiates by parameters and fed inputs, multiply (gradient_errors.cpp:"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f64, {3}}, init::ones());
             const Value h = w * 2.0;
             check_gradients(sum(h * h), {h});
           }},
          {"A budget of bytes that cannot be met",
           {"gradient_errors.cpp:", ": checkpoint: the budget of 64 B (64 B) is too small: the least possible is"},
           [] {
             Graph graph;
             const Value x = graph.input("x", f32, {graph.dim("batch", 8), 16});
             const Value w = graph.parameter("w", {f32, {16, 16}}, init::normal(0, 1));
             const Step step = training_step(sum(tanh(matmul(tanh(matmul(x, w)), w)))) | optimize(sgd({.rate = 0.1}));
             step | checkpoint({.budget = 64});
           }},
          {"A checkpoint that is told nothing",
           {"gradient_errors.cpp:", ": checkpoint has nothing to do; hint: {.budget = 512_MiB}"},
           [] { checkpoint(CheckpointOptions{}); }},
          {"A checkpoint by a pattern that matches nothing",
           {"'block/*' matches no value of the forward pass; hint: the first of"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {4, 4}}, init::normal(0, 1));
             const Step step = training_step(sum(tanh(matmul(w, w)))) | optimize(sgd({.rate = 0.1}));
             step | checkpoint({.save = {"block/*"}});
           }},
      }};
}

}  // namespace weft::gallery
