// Each hot op of a GPT-2 step (4 x 1024 tokens) against what the machine can do: product rate or memory bandwidth.
//
//   bench_ops [--threads 2] [--runs 5] [--json FILE] [--only TEXT]
//
// An op's gradient ops are rows of their own. "limit" is the least time by the machine's product rate and bandwidth
// over the time taken; rates are measured first (a product of 1024^3, a copy). Ops of few megabytes may run from the
// cache and so beat the memory.
#include <weft/weft.h>

#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

using namespace weft;

namespace {

constexpr std::int64_t batch = 4, context = 1024, width = 768, hidden = 3072, vocab = 50257, heads = 12;

struct Case {
  std::string name;
  std::function<std::vector<Value>(Graph)> build;
};

Value floats(Graph graph, const std::string& name, std::vector<Dim> extents) {
  return graph.input(name, f32, Shape(extents));
}

// y and the gradients of all float inputs.
std::vector<Value> both_ways(const Value& y) {
  Graph graph = y.graph();
  std::vector<Value> inputs;
  for (const Value& input : graph.inputs())
    if (is_float(input.dtype())) inputs.push_back(input);
  const Value d_y = graph.input("d_y", y.dtype(), y.shape());
  std::vector<Value> values{y};
  for (const Value& d : vector_jacobian({y}, {d_y}, inputs))
    if (d.valid()) values.push_back(d);
  return values;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"linear 4096 x 768 x 3072",
       [](Graph g) {
         return both_ways(linear(floats(g, "x", {batch, context, width}), floats(g, "w", {hidden, width}),
                                 floats(g, "b", {hidden})));
       }},
      {"feed_forward 768, 3072",
       [](Graph g) {
         return both_ways(feed_forward(
             floats(g, "x", {batch, context, width}), floats(g, "w1", {hidden, width}),
             floats(g, "w2", {width, hidden}),
             {.bias1 = floats(g, "b1", {hidden}), .bias2 = floats(g, "b2", {width}), .activation = "gelu_tanh"}));
       }},
      {"attention 12 x 64, causal",
       [](Graph g) {
         const std::vector<Dim> shape{batch, context, heads, width / heads};
         return both_ways(
             attention(floats(g, "q", shape), floats(g, "k", shape), floats(g, "v", shape), {.causal = true}));
       }},
      {"layer_norm 768",
       [](Graph g) {
         return both_ways(
             layer_norm(floats(g, "x", {batch, context, width}), floats(g, "w", {width}), floats(g, "b", {width})));
       }},
      {"rms_norm 768",
       [](Graph g) { return both_ways(rms_norm(floats(g, "x", {batch, context, width}), floats(g, "w", {width}))); }},
      {"softmax 1024", [](Graph g) { return both_ways(softmax(floats(g, "x", {batch, context, 1024}))); }},
      {"gelu exact", [](Graph g) { return both_ways(gelu(floats(g, "x", {batch, context, hidden}))); }},
      {"gelu_tanh", [](Graph g) { return both_ways(gelu_tanh(floats(g, "x", {batch, context, hidden}))); }},
      {"silu", [](Graph g) { return both_ways(silu(floats(g, "x", {batch, context, hidden}))); }},
      {"exp, log, tanh, erf",
       [](Graph g) {
         const Value x = floats(g, "x", {batch, context, hidden});
         return std::vector<Value>{exp(x), log(x), tanh(x), erf(x)};
       }},
      {"add",
       [](Graph g) {
         return std::vector<Value>{
             add(floats(g, "x", {batch, context, hidden}), floats(g, "y", {batch, context, hidden}))};
       }},
      {"add, broadcast",
       [](Graph g) {
         return std::vector<Value>{add(floats(g, "x", {batch, context, hidden}), floats(g, "b", {hidden}))};
       }},
      {"dropout 0.1",
       [](Graph g) { return std::vector<Value>{dropout(floats(g, "x", {batch, context, hidden}), 0.1)}; }},
      {"sum over rows",
       [](Graph g) { return std::vector<Value>{sum(floats(g, "x", {batch, context, hidden}), {.axes = {0, 1}})}; }},
      {"sum over a row",
       [](Graph g) { return std::vector<Value>{sum(floats(g, "x", {batch, context, hidden}), {.axes = {-1}})}; }},
      {"sum_squares", [](Graph g) { return std::vector<Value>{sum_squares(floats(g, "x", {vocab, width}))}; }},
      {"transpose",
       [](Graph g) {
         return std::vector<Value>{transpose(floats(g, "x", {batch, context, heads, width / heads}), {0, 2, 1, 3})};
       }},
      {"embedding",
       [](Graph g) {
         return both_ways(embedding(floats(g, "table", {vocab, width}), g.input("ids", i32, {batch, context})));
       }},
      {"cross_entropy 1024 x 50257",
       [](Graph g) {
         const Value logits = floats(g, "logits", {1024, vocab});
         const LossTerm term = cross_entropy(logits, g.input("targets", i32, {1024})).terms.front();
         return std::vector<Value>{term.sum, gradient(term.sum, {logits}).front()};
       }},
  };
  return all;
}

}  // namespace

int main(int argc, char** argv) try {
  int threads = 2, runs = 5;
  std::string file, only;
  CLI::App app{"Hot ops against the machine's limits"};
  app.add_option("--threads", threads);
  app.add_option("--runs", runs);
  app.add_option("--json", file);
  app.add_option("--only", only);
  CLI11_PARSE(app, argc, argv);

  set_threads(threads);
  const MachineRates limit = measured_rates();
  std::cout << fmt::format("{} threads, {:.0f} GFLOP/s, {:.1f} GB/s\n\n", threads, limit.product_flops * 1e-9,
                           limit.bytes * 1e-9);
  std::cout << "| case | op | ms | GFLOP/s | GB/s | share of the limit |\n| --- | --- | --- | --- | --- | --- |\n";
  nlohmann::json rows = nlohmann::json::array();
  for (const Case& item : cases()) {
    if (item.name.find(only) == std::string::npos) continue;
    Graph graph;
    const Step step = fetching(item.build(graph));
    Store store(step.graph);
    Program program(step, store, {.threads = threads});
    RandomFeeds ranges;
    for (const Value& input : step.graph.inputs())
      if (!is_float(input.dtype())) ranges.integers[input.name()] = vocab;
    const NamedTensors tensors = random_feeds(step.graph, 0, ranges);
    const Profile profile = program.profile(feeds_of(tensors), {.runs = runs, .limit = limit});
    for (const ProfileRow& row : profile.by_op()) {
      if (row.seconds < 2e-5) continue;  // scalars
      const double share = profile.share_of_limit(row);
      std::cout << fmt::format("| {} | {} | {:.3f} | {:.1f} | {:.1f} | {:.0f} % |\n", item.name, row.op,
                               row.seconds * 1e3, row.flops_rate() * 1e-9, row.bytes_rate() * 1e-9, share * 100)
                << std::flush;
      rows.push_back({{"case", item.name},
                      {"op", row.op},
                      {"seconds", row.seconds},
                      {"flops", row.cost.flops},
                      {"bytes", row.cost.bytes},
                      {"share", share}});
    }
  }
  if (!file.empty())
    std::ofstream(file) << nlohmann::json{{"threads", threads},
                                          {"product_flops", limit.product_flops},
                                          {"bytes_per_second", limit.bytes},
                                          {"rows", rows}}
                               .dump(1)
                        << '\n';
  return 0;
} catch (const std::exception& error) {
  std::cerr << "bench_ops: " << error.what() << '\n';
  return 1;
}
