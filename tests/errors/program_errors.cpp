#include "gallery.h"

#include <weft/weft.h>

namespace weft::gallery {

Group program_errors() {
  return {
      "Programs and feeds",
      "program_errors.cpp",
      {
          {"An input of another shape is fed",
           {"the input 'x' (program_errors.cpp:", "must be f32[batch=4, 3], it was fed f32[5, 3]"},
           [] {
             Graph graph;
             const Value x = graph.input("x", f32, {graph.dim("batch", 4), 3});
             evaluate(x * 2.0, {{"x", Tensor(f32, {5, 3})}});
           }},
          {"An input of another dtype is fed",
           {"the input 'tokens' (program_errors.cpp:", "must be i32[3], it was fed f32[3]"},
           [] {
             Graph graph;
             const Value tokens = graph.input("tokens", i32, {3});
             evaluate(tokens + 1, {{"tokens", Tensor(f32, {3})}});
           }},
          {"An input that is not fed",
           {"the input 'y' (program_errors.cpp:", "of f32[3] was not fed; hint: run({{\"y\", tensor}, ...})"},
           [] {
             Graph graph;
             const Value x = graph.input("x", f32, {3}), y = graph.input("y", f32, {3});
             evaluate(x + y, {{"x", Tensor(f32, {3})}});
           }},
          {"A feed of a name that is no input",
           {"no input is named 'z'; this program reads: x"},
           [] {
             Graph graph;
             const Value x = graph.input("x", f32, {3});
             evaluate(x * 2.0, {{"x", Tensor(f32, {3})}, {"z", Tensor(f32, {3})}});
           }},
          {"An input that is fed twice",
           {"the input 'x' was fed twice"},
           [] {
             Graph graph;
             const Value x = graph.input("x", f32, {3});
             evaluate(x * 2.0, {{"x", Tensor(f32, {3})}, {"x", Tensor(f32, {3})}});
           }},
          {"A result that was not fetched",
           {"multiply is not fetched by this program; hint: step | fetch(\"name\", value), or evaluation(loss, "
            "{value})"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             const Value h = w * 2.0;
             Store store(graph);
             Program program(evaluation(sum(h)), store);
             program.run().scalar(h);
           }},
          {"A fetch of a name that there is not",
           {"this step publishes no 'accuracy'; there are: loss"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             evaluation(sum(w * w)).fetch("accuracy");
           }},
          {"Nothing to fetch",
           {"there is nothing to fetch: expected values, got none; hint: inference({logits})"},
           [] { inference({}); }},
          {"A token that the table has not",
           {"embedding (program_errors.cpp:", "7 at [1] is no row of the table: expected 0 to 4, one of 5"},
           [] {
             Graph graph;
             const Value table = graph.parameter("table", {f32, {5, 2}}, init::ones());
             const Value h = embedding(table, graph.input("ids", i32, {3}));
             evaluate(h, {{"ids", Tensor::of<std::int32_t>({3}, {0, 7, 1})}});
           }},
          {"A target that is no class",
           {"cross_entropy (program_errors.cpp:", "12 at [0] is no class: expected 0 to 9, one of 10"},
           [] {
             Graph graph;
             const Value logits = graph.input("logits", f32, {2, 10});
             const Loss loss = cross_entropy(logits, graph.input("targets", i32, {2}));
             const Tensor targets = Tensor::of<std::int32_t>({2}, {12, 3});
             evaluate(loss.terms[0].sum, {{"logits", Tensor(f32, {2, 10})}, {"targets", targets}});
           }},
          {"An integer division by zero",
           {"integer division by 0: the divisor is 0 at [1]; hint: where(equal(b, 0), 1, b)", "program_errors.cpp:"},
           [] {
             Graph graph;
             const Value a = graph.input("a", i32, {2}), b = graph.input("b", i32, {2});
             const Tensor six = Tensor::of<std::int32_t>({2}, {6, 6}), zero = Tensor::of<std::int32_t>({2}, {3, 0});
             evaluate(floor_divide(a, b), {{"a", six}, {"b", zero}});
           }},
          {"Gradients that are not finite, where that must not be",
           {"the norm of the gradients is inf; not finite in 1 of 1: 'w' (inf); hint: NonFinite::skip passes over such "
            "a step"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::zeros());
             const Step step = training_step(sum(log(w))) | clip_global_norm(1.0, {.non_finite = NonFinite::fail}) |
                               optimize(sgd({.rate = 0.1}));
             Store store(graph);
             Program(step, store).run();
           }},
          {"A profile of no run",
           {"a profile needs at least one run, got 0"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             Store store(graph);
             Program program(evaluation(sum(w)), store);
             program.profile({}, {.runs = 0});
           }},
          {"A graph with a mistake is run",
           {"the graph has a problem", "[add] shapes [2] and [3] do not broadcast"},
           [] {
             Graph graph;
             const Value bad = graph.input("a", f32, {2}) + graph.input("b", f32, {3});
             training_step(sum(bad));
           }},
          {"Integer inputs without a bound are drawn at random",
           {"the integer input 'ids' (program_errors.cpp:",
            "has no bound, so it cannot be drawn at random; hint: .integers = {{\"ids\", n}}"},
           [] {
             Graph graph;
             graph.input("ids", i32, {3});
             random_feeds(graph, 0);
           }},
          {"A pass that cannot be switched off",
           {"the pass 'isolate_updates' keeps results right and cannot be switched off"},
           [] {
             Graph graph;
             const Value w = graph.parameter("w", {f32, {3}}, init::ones());
             plan(evaluation(sum(w)), {.lowering = {.disabled = {"isolate_updates"}}});
           }},
      }};
}

}  // namespace weft::gallery
