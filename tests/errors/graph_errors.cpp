#include "gallery.h"

#include <weft/weft.h>

namespace weft::gallery {

Group graph_errors() {
  return {"The graph",
          "graph_errors.cpp",
          {
              {"Several mistakes are told at once",
               {"the graph has 3 problems", "do not broadcast: axis -1 has 2 and 3", "cast(x, f32)",
                "inner extents must agree"},
               [] {
                 Graph graph;
                 const Value x = graph.input("x", f32, {4, 2}), y = graph.input("y", f32, {4, 3}),
                             n = graph.input("n", i32, {4, 2});
                 const Value one = x + y;
                 const Value two = x * n;
                 const Value three = matmul(x, y);
                 tanh(one) + two + three;  // depends on them: not another problem
                 graph.check();
               }},
              {"A name that is taken",
               {"the name 'layer/weight' is taken: first used at graph_errors.cpp:",
                "hint: put one of them under graph.scope(...)"},
               [] {
                 Graph graph;
                 const auto scope = graph.scope("layer");
                 graph.parameter("weight", {f32, {2, 2}}, init::zeros());
                 graph.parameter("weight", {f32, {2, 2}}, init::zeros());
                 graph.check();
               }},
              {"A source without a name",
               {"input needs a name"},
               [] {
                 Graph graph;
                 graph.input("", f32, {3});
                 graph.check();
               }},
              {"One named extent, two sizes",
               {"dim 'batch' is 8 at graph_errors.cpp:", "and 16 at graph_errors.cpp:"},
               [] {
                 Graph graph;
                 graph.dim("batch", 8);
                 graph.dim("batch", 16);
               }},
              {"An extent that is not positive",
               {"the extent 'time' must be positive, got 0"},
               [] {
                 Graph graph;
                 graph.dim("time", 0);
               }},
              {"Heads that do not divide the width",
               {"the extent 10 is not divisible by 4: 10 is no multiple of 4"},
               [] {
                 const Dim width = 10;
                 width / 4;
               }},
              {"Values of two graphs",
               {"operand 1 belongs to another graph; hint: step.find(value)"},
               [] {
                 Graph one, two;
                 const Value a = one.input("a", f32, {3});
                 a + two.input("b", f32, {3});
                 one.check();
               }},
              {"A value of another graph is looked for",
               {"'b' is not in this graph: it was built after, or in another one"},
               [] {
                 Graph one, two;
                 one.find(two.input("b", f32, {3}));
               }},
              {"A value that was never built is read",
               {"a value that was never built"},
               [] {
                 const Value nothing;
                 nothing.type();
               }},
              {"A value that failed to build is read",
               {"this value failed to build: "},
               [] {
                 Graph graph;
                 const Value bad = graph.input("a", f32, {2}) + graph.input("b", f32, {3});
                 bad.shape();
               }},
              {"An update of what is no state",
               {"only a state or a parameter can be updated, this is the op input"},
               [] {
                 Graph graph;
                 const Value x = graph.input("x", f32, {3});
                 graph.update(x, x * 2.0);
                 graph.check();
               }},
              {"An update of another type",
               {"an update must keep the type: expected f32[3], got f32[2, 3] from x"},
               [] {
                 Graph graph;
                 const Value state = graph.state("mean", {f32, {3}}, init::zeros());
                 graph.update(state, graph.input("x", f32, {2, 3}));
                 graph.check();
               }},
              {"A state is updated twice",
               {"a state can be updated once a step, this is the second update"},
               [] {
                 Graph graph;
                 const Value count = graph.state("count", {f32, {}}, init::zeros());
                 graph.update(count, count + 1.0);
                 graph.update(count, count + 2.0);
                 graph.check();
               }},
              {"An initializer that makes no sense",
               {"a normal initializer needs a deviation of at least 0, got -1"},
               [] { init::normal(0, -1); }},
              {"A batch that was given as a number",
               {"at_batch(4): ",
                "hint: an extent was given as a number that only equals the batch of 8: reshape to the Dim"},
               [] {
                 Graph graph;
                 const Value x = graph.input("x", f32, {graph.dim("batch", 8), 6});
                 const Value y = reshape(x, {8, 2, 3});
                 at_batch(inference({y}), 4);
               }},
              {"A batch of no name",
               {"no extent of this graph is named 'batch'; hint: declare the batch as graph.dim(\"batch\", n)"},
               [] {
                 Graph graph;
                 at_batch(inference({graph.input("x", f32, {8, 6}) * 2.0}), 4);
               }},
              {"Steps that were built apart are compared",
               {"these were built apart; hint: compare a step with what a transform made of it"},
               [] {
                 Graph one, two;
                 changes(inference({one.input("x", f32, {3}) * 2.0}), inference({two.input("x", f32, {3}) * 2.0}));
               }},
          }};
}

}  // namespace weft::gallery
