#include "gallery.h"

#include <weft/weft.h>

namespace weft::gallery {

Group own_op_errors() {
  return {"Your own ops",
          "own_op_errors.cpp",
          {
              {"An op that does not exist",
               {"no op is named 'sofmax'; hint: the nearest are", "softmax"},
               [] { registry().at("sofmax"); }},
              {"An op without a shape rule",
               {"the op 'my_square' needs a shape rule (.infer)"},
               [] {
                 static const OpDef op{.name = "my_square"};
                 registry().add(op);
               }},
              {"An op without a batch rule",
               {"the op 'my_square' needs a batch rule (.batch), such as same_axis"},
               [] {
                 static const OpDef op{.name = "my_square", .infer = same_as_float_input};
                 registry().add(op);
               }},
              {"An op without a kernel",
               {"the op 'my_square' needs a kernel (.kernels)"},
               [] {
                 static const OpDef op{.name = "my_square", .infer = same_as_float_input, .batch = same_axis};
                 registry().add(op);
               }},
              {"An op without samples",
               {"the op 'my_square' needs samples (.samples): they are its tests"},
               [] {
                 static const OpDef op{.name = "my_square",
                                       .infer = same_as_float_input,
                                       .batch = same_axis,
                                       .kernels = {{.dtype = f32, .run = [](KernelContext&) {}}}};
                 registry().add(op);
               }},
              {"An op without a backward in a loss",
               {"this op has no backward; hint: give its OpDef a .backward that builds the gradient",
                "a .plain definition", "my_square (own_op_errors.cpp:"},
               [] {
                 static const OpDef op{.name = "my_square", .infer = same_as_float_input, .batch = same_axis};
                 Graph graph;
                 const Value w = graph.parameter("w", {f32, {3}}, init::ones());
                 training_step(sum(build(op, {w})));
               }},
              {"A wrong number of operands",
               {"[my_square] expected 1 operands, got 2"},
               [] {
                 static const OpDef op{.name = "my_square", .infer = same_as_float_input, .batch = same_axis};
                 Graph graph;
                 const Value x = graph.input("x", f32, {3});
                 build(op, {x, x});
                 graph.check();
               }},
              {"An op of numbers alone",
               {"an op needs at least one operand that is a Value of a graph"},
               [] { tanh(0.5) + 1.0; }},
              {"A schedule, an optimizer or an op of yours reports its own misuse",
               {"my_op needs a positive width, got -3"},
               [] {
                 const int width = -3;
                 WEFT_CHECK(width > 0, "my_op needs a positive width, got {}", width);
               }},
          }};
}

}  // namespace weft::gallery
