#include <support/catch.h>
#include <weft/nn/attention_nodes.h>
#include <weft/nn/prune.h>
#include <weft/optim/gates.h>
#include <weft/weft.h>

#include <algorithm>
#include <cmath>

using namespace weft;

namespace {

// Attention of two kinds (a weight for each projection; packed, grouped, with a learned key and heads of their own
// widths) and what stands between.
struct Model {
  static constexpr std::int64_t batch = 2, time = 5, width = 12;
  Graph graph;
  Loss loss;

  Model(const nn::AttentionConfig& first, const nn::AttentionConfig& second) {
    const DType dtype = first.dtype;
    const Dim n = graph.dim("batch", batch);
    const Value x = graph.input("x", dtype, {n, time, width}), y = graph.input("y", dtype, {n, time, width});
    const auto zero = graph.scope("layer/0");
    const nn::Attention plain(graph, "attention", first);
    Value z = x + plain(x, {.causal = true});
    const nn::FeedForward between(graph, "feed_forward", {.width = width, .hidden = 16, .dtype = dtype});
    z = z + between(z);
    const nn::MultiheadAttention packed(graph, "packed", second);
    z = z + packed(z);
    loss = mse_loss(z, y);
  }
};

nn::AttentionConfig first_config(DType dtype) { return {.width = Model::width, .heads = 4, .dtype = dtype}; }
nn::AttentionConfig second_config(DType dtype) {
  return {.width = Model::width,
          .heads = 6,
          .kv_heads = 3,
          .head_width = 5,
          .value_head_width = 2,
          .add_bias_kv = true,
          .dtype = dtype};
}
const std::vector<std::int64_t> first_out{1, 3}, second_out{2, 3};

std::vector<nn::HeadPruning> prunings(DType dtype) {
  return {{"layer/0/attention", first_config(dtype), first_out}, {"layer/0/packed", second_config(dtype), second_out}};
}
Transform masking() {
  return close_gates(nn::heads({{"layer/0/attention", first_out}, {"layer/0/packed", second_out}}));
}
Model small_model(DType dtype) {
  return {nn::without_heads(first_config(dtype), first_out), nn::without_heads(second_config(dtype), second_out)};
}

// Biases that are not zero.
void disturb(Store& store) {
  for (const auto& [path, cell] : store.cells()) {
    if (!path.ends_with("bias")) continue;
    Tensor values(f64, cell.tensor.extents());
    for (std::int64_t i = 0; i < values.size(); ++i)
      values.data<double>()[i] = 0.2 * std::sin(static_cast<double>(3 * i + 1));
    store.set(path, values.cast(cell.tensor.dtype()));
  }
}

NamedTensors feeds_of_run(const Graph& graph, std::int64_t run) { return random_feeds(graph, run, {3, {}, {}}); }

double worst(const Tensor& a, const Tensor& b) {
  REQUIRE(a.extents() == b.extents());
  double most = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a.at(i) - b.at(i)));
  return most;
}

std::int64_t elements(const Step& step) {
  std::int64_t count = 0;
  for (const Value& parameter : step.graph.parameters()) count += parameter.shape().count();
  return count;
}

}  // namespace

TEST_CASE("a pruned model is smaller and equals the masked one, gradients included", "[core][nn][inside]") {
  for (const DType dtype : {f64, f32}) {
    const double close = dtype == f64 ? 1e-13 : 2e-6;
    const Model large(first_config(dtype), second_config(dtype)), small = small_model(dtype);
    const Step masked = training_step(large.loss) | masking() | fetch_gradients();
    const Step pruned = training_step(small.loss) | fetch_gradients();
    CHECK(elements(pruned) < elements(masked));
    CHECK(plan(pruned).total_bytes() < plan(masked).total_bytes());
    Store store(masked, {.seed = 4}), smaller(pruned, {.seed = 9});
    disturb(store);
    nn::prune_heads(store, smaller, prunings(dtype));
    CHECK(smaller.bytes() < store.bytes());

    Program of_masked(masked, store), of_pruned(pruned, smaller);
    const NamedTensors feeds = feeds_of_run(large.graph, 0);
    const Result a = of_masked.run(feeds_of(feeds)), b = of_pruned.run(feeds_of(feeds));
    CHECK(b.scalar("loss") == Approx(a.scalar("loss")).epsilon(close));
    // The gradients as cells: what is cut out of the larger model's is the smaller one's.
    Store gradients = store.clone(), expected(pruned);
    for (const Value& parameter : masked.parameters)
      gradients.set(parameter.name(), a.tensor("gradient/" + parameter.name()));
    nn::prune_heads(gradients, expected, prunings(dtype));
    for (const Value& parameter : pruned.parameters) {
      INFO(parameter.name());
      CHECK(worst(b.tensor("gradient/" + parameter.name()), expected.tensor(parameter.name())) < close);
    }
    const Step unmasked = evaluation(large.loss);
    Program whole(unmasked, store);
    CHECK(std::abs(whole.run(feeds_of(feeds)).scalar("loss") - a.scalar("loss")) > 1e-3);
  }
}

TEST_CASE("a model that is pruned in the middle of its training goes on as the masked one", "[core][nn][inside]") {
  const Model large(first_config(f64), second_config(f64)), small = small_model(f64);
  const Transform rule = optimize(adamw({.rate = 1e-2, .weight_decay = 0.1}));
  const Step masked = training_step(large.loss) | masking() | rule, pruned = training_step(small.loss) | rule;
  Store store(masked, {.seed = 4}), smaller(pruned, {.seed = 9});
  Program of_masked(masked, store), of_pruned(pruned, smaller);
  for (std::int64_t run = 0; run < 3; ++run) of_masked.run(feeds_of(feeds_of_run(large.graph, run)));
  nn::prune_heads(store, smaller, prunings(f64));
  CHECK(smaller.updates() == 3);
  CHECK(smaller.runs() == store.runs());
  for (std::int64_t run = 3; run < 6; ++run) {
    const NamedTensors feeds = feeds_of_run(large.graph, run);
    of_masked.run(feeds_of(feeds));
    of_pruned.run(feeds_of(feeds));
  }
  Store expected(pruned);
  nn::prune_heads(store, expected, prunings(f64));
  for (const auto& [path, cell] : smaller.cells()) {
    INFO(path);
    CHECK(worst(cell.tensor, expected.tensor(path)) < 1e-11);
  }
}

TEST_CASE("pruning says which heads cannot go, and what does not fit", "[core][nn][inside][errors]") {
  const nn::AttentionConfig plain = first_config(f64), grouped = second_config(f64);
  CHECK_THROWS_WITH(nn::without_heads(plain, {4}),
                    ContainsSubstring("prune_test.cpp:") && ContainsSubstring("it has the heads 0 to 3, got 4"));
  CHECK_THROWS_WITH(nn::without_heads(plain, {0, 1, 2, 3}), ContainsSubstring("all of its 4 heads would go"));
  CHECK_THROWS_WITH(nn::without_heads(grouped, {2}),
                    ContainsSubstring("heads 2 to 3 share their keys and values: all of them go or none, got 1 of 2"));
  CHECK(nn::without_heads(grouped, {2, 3, 2}).kv_heads == 2);
  CHECK(nn::without_heads(plain, {0}).head_width == 3);

  const Model large(plain, grouped), small = small_model(f64);
  const Store store(large.graph);
  Store smaller(small.graph);
  CHECK_THROWS_WITH(nn::prune_heads(store, smaller, {{"layer/1/attention", plain, {1}}}),
                    ContainsSubstring("no parameter under 'layer/1/attention'"));
  CHECK_THROWS_WITH(nn::prune_heads(store, smaller, {{"layer/0/attention", plain, {5}}}),
                    ContainsSubstring("'layer/0/attention'") && ContainsSubstring("0 to 3, got 5"));
  CHECK_THROWS_WITH(nn::prune_heads(store, smaller, {{"layer/0/attention", plain, {1}}}),
                    ContainsSubstring("the smaller model's is") && ContainsSubstring("without_heads(config, heads)"));
  CHECK_THROWS_WITH(
      nn::prune_heads(store, smaller, {{"layer/0/attention", {.width = 24, .heads = 4, .dtype = f64}, {1}}}),
      ContainsSubstring("does not hold the heads of its configuration"));
  CHECK_THROWS_WITH(nn::prune_heads(smaller, smaller, prunings(f64)), ContainsSubstring("does not hold the heads"));
  Graph other;
  other.parameter("else", {f64, {3}}, init::zeros());
  Store foreign(other);
  CHECK_THROWS_WITH(nn::prune_heads(store, foreign, {}), ContainsSubstring("the larger model has no 'else'"));
}
