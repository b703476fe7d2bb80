#include "gallery.h"

#include <weft/weft.h>

namespace weft::gallery {

Group store_errors() {
  return {
      "Tensors and the store",
      "store_errors.cpp",
      {
          {"A cell that the store has not",
           {"the store has no 'layer/wieght'; hint: the nearest of its 2 cells are layer/weight, layer/bias"},
           [] {
             Graph graph;
             graph.parameter("layer/bias", {f32, {3}}, init::ones());
             graph.parameter("layer/weight", {f32, {3}}, init::ones());
             Store(graph).tensor("layer/wieght");
           }},
          {"Values of another shape for a parameter",
           {"'w' is f32[3], it was given f32[4]"},
           [] {
             Graph graph;
             graph.parameter("w", {f32, {3}}, init::ones());
             Store store(graph);
             store.set("w", Tensor(f32, {4}));
           }},
          {"A store of another model",
           {"'w' is f32[5] in the graph (store_errors.cpp:",
            "and f32[3] in the store; hint: a store of its own, or another name"},
           [] {
             Graph small, large;
             small.parameter("w", {f32, {3}}, init::ones());
             const Value w = large.parameter("w", {f32, {5}}, init::ones());
             Store store(small);
             Program program(evaluation(sum(w)), store);
           }},
          {"Initial values of another shape",
           {"the initial value of 'w' must be f32[3], got f32[2]"},
           [] {
             Graph graph;
             const Constant two{{f32, {2}}, std::vector<std::byte>(8)};
             graph.parameter("w", {f32, {3}}, init::values(two));
             Store store(graph);
           }},
          {"Averages that were never kept",
           {"the store holds no averages of weights; hint: step | average_weights()"},
           [] {
             Graph graph;
             graph.parameter("w", {f32, {3}}, init::ones());
             Store store(graph);
             with_average(store);
           }},
          {"A tensor is read as another type",
           {"a tensor of f32 was read as i32; hint: at(i)"},
           [] { Tensor(f32, {3}).data<std::int32_t>(); }},
          {"More values than elements",
           {"a tensor of 3 elements was given 2 values"},
           [] { Tensor::of<float>({3}, {1, 2}); }},
          {"One number of a tensor of several",
           {"item() needs a tensor of one element, f32[3] has 3; hint: at(i)"},
           [] { Tensor(f32, {3}).item(); }},
          {"An element outside", {"there is no element 5 of f32[3]: expected 0 to 2"}, [] { Tensor(f32, {3}).at(5); }},
          {"Rows outside",
           {"there are no rows 1 to 9 of f32[4, 2]: expected 0 <= first <= last <= 4"},
           [] { Tensor(f32, {4, 2}).rows(1, 9); }},
          {"A negative extent", {"an extent of a tensor is negative: -2"}, [] { Tensor(f32, {3, -2}); }},
      }};
}

}  // namespace weft::gallery
