// Errors that the gallery does not show: each is thrown, and its message read. `./weft check errors` lists what no test
// reads.
#include <errors/gallery.h>
#include <support/catch.h>

#include <weft/optim/unscale_and_check.h>
#include <weft/runtime/random.h>
#include <weft/weft.h>

#include <fstream>

using namespace weft;
using gallery::Entry;

namespace {

void expect_all(const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    const std::string message = gallery::message_of(entry);
    INFO(entry.title << "\n" << message);
    CHECK_FALSE(entry.says.empty());
    for (const std::string& part : entry.says) CHECK_THAT(message, ContainsSubstring(part));
  }
}

}  // namespace

TEST_CASE("further errors of graphs, tensors and stores", "[core][graph][runtime][errors]") {
  expect_all({
      {"no such node", {"this graph has no node 99"}, [] { Graph().node(99); }},
      {"fans", {"an initializer needs positive fans, got 0 and 4"}, [] { init::xavier_uniform(0, 4); }},
      {"uniform", {"a uniform initializer needs low <= high, got 1 and -1"}, [] { init::uniform(1, -1); }},
      {"probability", {"a drop probability must be in [0, 1], got 2"}, [] { drop_threshold(2); }},
      {"initializer",
       {"'w' has an unknown initializer 'magic'"},
       [] {
         Graph graph;
         graph.parameter("w", {f32, {3}}, {"magic", 0, 0, nullptr});
         Store store(graph);
       }},
      {"too many", {"a tensor has too many elements"}, [] { Tensor(f32, {1LL << 40, 1LL << 40}); }},
      {"reshaped",
       {"a tensor of 6 elements cannot be seen as 4 elements: f32[2, 3] is no f32[4]"},
       [] { Tensor(f32, {2, 3}).reshaped({4}); }},
      {"empty store", {"the store has no 'w': it is empty"}, [] { Store(Graph()).tensor("w"); }},
      {"no values",
       {"there is nothing to fetch: expected values, got none; hint: evaluate(value, feeds)"},
       [] { fetching({}); }},
  });
}

TEST_CASE("further errors of ops", "[core][ops][errors]") {
  expect_all({
      {"gelu",
       {"gelu's approximate must be 'none' or 'tanh', got 'erf' (further_errors_test.cpp:"},
       [] { gelu(Graph().input("x", f32, {3}), {.approximate = "erf"}); }},
      {"hardtanh",
       {"[hardtanh] min must be below max, got 1 and 0"},
       [] {
         Graph graph;
         hardtanh(graph.input("x", f32, {3}), 1, 0);
         graph.check();
       }},
      {"softplus",
       {"beta must be above 0, got -1"},
       [] {
         Graph graph;
         softplus(graph.input("x", f32, {3}), {.beta = -1});
         graph.check();
       }},
      {"celu",
       {"alpha must be above 0, got 0"},
       [] {
         Graph graph;
         celu(graph.input("x", f32, {3}), 0);
         graph.check();
       }},
      {"split",
       {"split (further_errors_test.cpp:", "expected at least one piece, got 0"},
       [] { split(Graph().input("x", f32, {6}), 0, 0); }},
      {"soft cap",
       {"[attention] soft_cap must be at least 0, got -1"},
       [] {
         Graph graph;
         const Value x = graph.input("x", f32, {2, 6, 4, 8});
         attention(x, x, x, {.soft_cap = -1});
         graph.check();
       }},
      {"bool",
       {"[full] a bool is 0 or 1, got 3"},
       [] {
         Graph graph;
         full(graph, {2}, boolean, 3);
         graph.check();
       }},
      {"guard", {"require_finite needs values, not numbers"}, [] { require_finite(1.0, 2.0, {}, {}); }},
      {"pattern", {"there is no pattern 99"}, [] { name_of(static_cast<HeadPattern>(99)); }},
      {"ranks",
       {"[concatenate] all must have one rank, got [3, 2] and [3]"},
       [] {
         Graph graph;
         concatenate({graph.input("a", f32, {3, 2}), graph.input("b", f32, {3})}, 0);
         graph.check();
       }},
      {"nothing side by side",
       {"concatenate (further_errors_test.cpp:", "needs at least one tensor, got none"},
       [] { concatenate({}, 0); }},
      {"nothing stacked",
       {"stack (further_errors_test.cpp:", "needs at least one tensor, got none"},
       [] { stack({}, 0); }},
      {"no elements",
       {"axis 0 of [0, 3] has no elements"},
       [] {
         Graph graph;
         max(graph.input("x", f32, {0, 3}), {.axes = {0}});
         graph.check();
       }},
      {"range",
       {"low must not be above high, got 1 and -1"},
       [] {
         Graph graph;
         uniform(graph, {3}, 1, -1);
         graph.check();
       }},
      {"gated",
       {"a gated unit splits a tensor: expected a Value, got the number 2 (further_errors_test.cpp:"},
       [] { glu(2.0); }},
      {"loss",
       {"mse_loss: the input must be a Value, got the number 1 (further_errors_test.cpp:"},
       [] { mse_loss(1.0, 2.0); }},
      {"huber",
       {"huber_loss: delta must be above 0, got 0 (further_errors_test.cpp:"},
       [] {
         Graph graph;
         const Value x = graph.input("x", f32, {3});
         huber_loss(x, x, {.delta = 0});
       }},
  });
}

TEST_CASE("further errors of gradients, optimizers and schedules", "[core][autodiff][optim][errors]") {
  expect_all({
      {"no loss", {"there is no loss to differentiate"}, [] { gradient(Value(), {}); }},
      {"narrow values",
       {"check_gradients needs f64 values, w (further_errors_test.cpp:", "is f32[3]"},
       [] {
         Graph graph;
         const Value w = graph.parameter("w", {f32, {3}}, init::ones());
         check_gradients(sum(cast(w, f64)), {w});
       }},
      {"nothing to differentiate by",
       {"check_gradients needs outputs and values to differentiate by"},
       [] { check_gradients(Graph().input("x", f64, {}), {}); }},
      {"old gradients are read",
       {"mixed_precision(bf16)", "derives the gradients anew, and the fetch 'g' reads", "(further_errors_test.cpp:"},
       [] {
         Graph graph;
         const Value w = graph.parameter("w", {f32, {3}}, init::ones());
         const Step step = training_step(sum(w * w));
         step | fetch("g", step.gradients[0].value) | mixed_precision(bf16);
       }},
      {"a vector",
       {"only a matrix can be made orthogonal, w is f32[3]"},
       [] { orthogonalized(Graph().parameter("w", {f32, {3}}, init::ones()), {}); }},
      {"cosine",
       {"warmup_cosine needs 0 <= least <= peak, got least 1 and peak 0.5"},
       [] { warmup_cosine(0.5, 1, 10, 1); }},
      {"nothing to unscale",
       {"there are no gradients to read; hint: a parameter that is trained and not frozen"},
       [] {
         Graph graph;
         const Value w = graph.parameter("w", {f32, {3}}, init::ones());
         Step step = training_step(sum(w * w));
         step.gradients.clear();
         unscale_and_check(step);
       }},
      {"cycle", {"cyclic_lr needs a gamma of at least 0, got -1"}, [] { cyclic_lr(0.1, 0.2, {.gamma = -1}); }},
      {"averages",
       {"further_errors_test.cpp:",
        ": average_weights: the pattern 'b' matches no updated parameter; hint: the first of 1 is w"},
       [] {
         Graph graph;
         const Value w = graph.parameter("w", {f32, {3}}, init::ones());
         training_step(sum(w * w)) | optimize(sgd({.rate = 0.1})) | average_weights({.pattern = "b"});
       }},
      {"limit", {"further_errors_test.cpp:", ": clip_value needs a positive limit, got -1"}, [] { clip_value(-1); }},
      {"norm type",
       {"further_errors_test.cpp:", ": clip_norm needs a norm_type of at least 1, or infinity, got 0"},
       [] { clip_norm(1, {.norm_type = 0}); }},
      {"no pattern",
       {"further_errors_test.cpp:", ": freeze needs a pattern, got none"},
       [] { freeze(std::vector<std::string>{}); }},
      {"scale",
       {"further_errors_test.cpp:", ": scale_loss needs a positive, finite scale, got 0"},
       [] { scale_loss({.start = 0}); }},
  });
}

TEST_CASE("further errors of models and files", "[core][nn][io][errors]") {
  expect_all({
      {"no roots",
       {"attention_views needs a value that the attentions lead to, got none"},
       [] { nn::attention_views({}); }},
      {"roots of two graphs",
       {"attention_views: the roots must be valid values of one graph"},
       [] { nn::attention_views({Graph().input("a", f32, {3}), Graph().input("b", f32, {3})}); }},
      {"a folder's name", {"'folder/' is not the name of a file"}, [] { write_safetensors("folder/", {}); }},
      {"range",
       {"the range of a heat map must go from a number to a larger one, got 1 to 0"},
       [] { heat_map({{.title = "a", .weights = Tensor(f32, {1, 2, 2})}}, {.range = {{1, 0}}}); }},
      {"empty text",
       {"the text file 'empty.txt' is empty"},
       [] {
         std::ofstream("empty.txt");
         read_text("empty.txt");
       }},
      {"no character", {"U+D800 is not a character"}, [] { encode_utf8(std::u32string(1, char32_t{0xd800})); }},
  });
}
