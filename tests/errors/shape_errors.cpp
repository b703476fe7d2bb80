#include "gallery.h"

#include <weft/weft.h>

namespace weft::gallery {

Group shape_errors() {
  return {
      "Shapes and types",
      "shape_errors.cpp",
      {
          {"Shapes that do not broadcast",
           {"[add] shapes [2, 3] and [4] do not broadcast: axis -1 has 3 and 4",
            "operand 0: f32[2, 3] from a (shape_errors.cpp:", "operand 1: f32[4] from b (shape_errors.cpp:"},
           [] {
             Graph graph;
             const Value a = graph.input("a", f32, {2, 3});
             const Value b = graph.input("b", f32, {4});
             a + b;
             graph.check();
           }},
          {"A product of matrices whose inner extents differ",
           {"[matmul] inner extents must agree: [2, 3] has 3, [4, 5] has 4", "hint: transpose_a and transpose_b"},
           [] {
             Graph graph;
             const Value a = graph.input("a", f32, {2, 3});
             const Value b = graph.input("b", f32, {4, 5});
             matmul(a, b);
             graph.check();
           }},
          {"A weight that does not fit",
           {"[linear] x must be [.., in] for a weight [out, in]: got [batch=8, 64] and [10, 32]"},
           [] {
             Graph graph;
             const Value x = graph.input("x", f32, {graph.dim("batch", 8), 64});
             const Value weight = graph.parameter("weight", {f32, {10, 32}}, init::normal(0, 1));
             linear(x, weight);
             graph.check();
           }},
          {"Two dtypes in one operation",
           {"[multiply] operands must have one dtype, got f32 and i32; hint: cast(x, f32)"},
           [] {
             Graph graph;
             const Value x = graph.input("x", f32, {3});
             const Value n = graph.input("n", i32, {3});
             x* n;
             graph.check();
           }},
          {"A function of floats, given integers",
           {"[exp] operand 0 must be of a floating type, got i64[3]"},
           [] {
             Graph graph;
             exp(graph.input("n", i64, {3}));
             graph.check();
           }},
          {"A choice by what is no bool",
           {"[where] operand 0 must be bool, got f32[3]; hint: cast(x, bool)"},
           [] {
             Graph graph;
             const Value x = graph.input("x", f32, {3});
             where(x, x, 0.0);
             graph.check();
           }},
          {"A reshape to another number of elements",
           {"[reshape] [2, 3] has 6 elements, [4, 2] has 8"},
           [] {
             Graph graph;
             reshape(graph.input("x", f32, {2, 3}), {4, 2});
             graph.check();
           }},
          {"An axis that the tensor has not",
           {"[softmax] axis 2 is outside a tensor of rank 2: expected -2 to 1"},
           [] {
             Graph graph;
             softmax(graph.input("x", f32, {2, 3}), 2);
             graph.check();
           }},
          {"A permutation that names an axis twice",
           {"[transpose] the permutation must name each of the 3 axes of [2, 3, 4] once, got (0, 0, 2)"},
           [] {
             Graph graph;
             transpose(graph.input("x", f32, {2, 3, 4}), {0, 0, 2});
             graph.check();
           }},
          {"A slice beyond the end",
           {"[slice] the slice [2, 9) is outside axis 1 of [2, 5]"},
           [] {
             Graph graph;
             slice(graph.input("x", f32, {2, 5}), {.axis = 1, .start = 2, .stop = 9});
             graph.check();
           }},
          {"Pieces that do not add up",
           {"split (shape_errors.cpp:", "the sizes must add up to 6, the extent of axis 0 of [6]; they add up to 5"},
           [] {
             Graph graph;
             split(graph.input("x", f32, {6}), {2, 3}, 0);
           }},
          {"Tensors that cannot be put side by side",
           {"[concatenate] extents beside axis 1 must agree, got [2, 3] and [4, 3]"},
           [] {
             Graph graph;
             concatenate({graph.input("a", f32, {2, 3}), graph.input("b", f32, {4, 3})}, 1);
             graph.check();
           }},
          {"An equation of einsum that contradicts its operands",
           {"einsum \"ij,jk->ik\" (shape_errors.cpp:", "3", "4"},
           [] {
             Graph graph;
             einsum("ij,jk->ik", {graph.input("a", f32, {2, 3}), graph.input("b", f32, {4, 5})});
           }},
          {"Logits and targets that do not belong together",
           {"[cross_entropy]", "[batch=4, 10]", "[batch=4, 2]"},
           [] {
             Graph graph;
             const Dim batch = graph.dim("batch", 4);
             const Value logits = graph.input("logits", f32, {batch, 10});
             cross_entropy(logits, graph.input("targets", i32, {batch, 2}));
             graph.check();
           }},
          {"A target of another shape than the prediction",
           {"mse_loss: ", "must be of the input's shape [8, 1], got [8] (shape_errors.cpp:", "hint: broadcast_to"},
           [] {
             Graph graph;
             const Value predicted = graph.input("predicted", f32, {8, 1});
             mse_loss(predicted, graph.input("target", f32, {8}));
           }},
          {"A probability that is none",
           {"[dropout] the probability p must be in [0, 1), got 1.5"},
           [] {
             Graph graph;
             dropout(graph.input("x", f32, {3}), 1.5);
             graph.check();
           }},
          {"An activation that does not exist",
           {"unknown activation 'rellu': expected one of", "relu", "gelu"},
           [] {
             Graph graph;
             const Value x = graph.input("x", f32, {2, 4});
             const Value up = graph.parameter("up", {f32, {8, 4}}, init::normal(0, 1));
             const Value down = graph.parameter("down", {f32, {4, 8}}, init::normal(0, 1));
             feed_forward(x, up, down, {.activation = "rellu"});
             graph.check();
           }},
      }};
}

}  // namespace weft::gallery
