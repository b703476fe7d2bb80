// nn::MultiheadAttention against torch.nn.MultiheadAttention (data/multihead_attention.py), and what must hold of it.
#include <support/catch.h>

#include <weft/nn/multihead_attention.h>
#include <weft/testing/equivalent_to.h>
#include <weft/weft.h>

#include <algorithm>
#include <cmath>
#include <set>

using namespace weft;

namespace {

Tensor normal(Tensor::Extents extents, std::uint32_t stream, double deviation = 1) {
  Tensor drawn(f64, std::move(extents));
  normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(11, stream), 0);
  for (std::int64_t i = 0; i < drawn.size(); ++i) drawn.data<double>()[i] *= deviation;
  return drawn;
}

Constant constant_of(const Tensor& t) {
  return {{t.dtype(), Shape(std::span(t.extents()))}, {t.raw(), t.raw() + t.bytes()}};
}

double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.extents() == b.extents());
  double worst = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
  return worst;
}

struct TorchCase {
  std::string name;
  nn::AttentionConfig config;
  std::string order;  ///< the inputs that are queries, keys and values
  bool causal = false;
};

std::vector<TorchCase> torch_cases() {
  const nn::AttentionConfig plain{.width = 8, .heads = 2, .dtype = f64};
  nn::AttentionConfig unbiased = plain, extra = plain;
  unbiased.bias = false;
  extra.add_bias_kv = extra.add_zero_attn = true;
  return {{"self", plain, "xxx"},
          {"unbiased", unbiased, "xxx"},
          {"memory", plain, "qmm"},
          {"cross", {.width = 8, .heads = 4, .key_width = 6, .value_width = 10, .dtype = f64}, "qkv"},
          {"padding", plain, "xxx"},
          {"additive", plain, "xxx"},
          {"each_head", plain, "xxx"},
          {"extra_keys", extra, "xxx"},
          {"grouped",
           {.width = 8, .heads = 4, .kv_heads = 2, .head_width = 3, .value_head_width = 5, .dtype = f64},
           "xxx",
           true}};
}

// One case, run with the file's inputs and parameters: results and gradients by the file's names.
std::map<std::string, Tensor> run(const TorchCase& c, const Safetensors& file) {
  const auto stored = [&](const std::string& name) -> const Tensor& { return file.tensors.at(c.name + "/" + name); };
  Graph graph;
  graph.strict(true);
  std::map<std::string, Value> in;
  std::vector<Feed> feeds;
  for (const auto& [name, tensor] : file.tensors) {
    const std::string prefix = c.name + "/in.";
    if (!name.starts_with(prefix)) continue;
    in[name.substr(prefix.size())] = graph.input(name, tensor.dtype(), Shape(std::span(tensor.extents())));
    feeds.emplace_back(name, tensor);
  }
  const nn::MultiheadAttention attention(graph, "attention", c.config);
  // PyTorch's bool masks say what is forbidden.
  const auto mask = [&](const std::string& name) {
    if (!in.contains(name)) return Value{};
    return in[name].dtype() == boolean ? logical_not(in[name]) : in[name];
  };
  const auto from = [&](std::size_t i) { return in.at(std::string(1, c.order[i])); };
  const auto [y, weights] = attention.with_weights(
      from(0), from(1), from(2),
      {.key_padding_mask = mask("key_padding_mask"), .attn_mask = mask("attn_mask"), .causal = c.causal});
  Step step;
  step.graph = graph;
  step.set_fetch("out.y", y);
  step.set_fetch("out.weights", weights);
  std::vector<Value> by = graph.parameters();
  std::vector<std::string> names;
  std::set<std::string> parameters;
  Store store(graph);
  for (const Value& parameter : by) {
    std::string name = parameter.name().substr(std::string("attention/").size());
    std::ranges::replace(name, '/', '.');
    store.set(parameter.name(), stored("p." + name));
    names.push_back("grad.p." + name);
    parameters.insert("p." + name);
  }
  for (const auto& [name, tensor] : file.tensors)  // no parameter of PyTorch's is left out
    if (name.starts_with(c.name + "/p.")) CHECK(parameters.contains(name.substr(c.name.size() + 1)));
  for (const auto& [name, value] : in)
    if (value.dtype() != boolean && file.tensors.contains(c.name + "/grad.in." + name)) {
      by.push_back(value);
      names.push_back("grad.in." + name);
    }
  const Value total = sum(y * graph.constant(constant_of(stored("cot.y")))) +
                      sum(weights * graph.constant(constant_of(stored("cot.weights"))));
  const std::vector<Value> gradients = gradient(total, by);
  for (std::size_t i = 0; i < by.size(); ++i) step.set_fetch(names[i], gradients[i]);
  Program program(step, store);
  const Result result = program.run(feeds);
  std::map<std::string, Tensor> results;
  for (const Fetch& fetch : step.fetches) results[fetch.name] = result.tensor(fetch.name).clone();
  return results;
}

// Weights that copy: x is queries, keys and values of one head, as it is.
void make_identity(Store& store, std::int64_t width) {
  Tensor in(f64, {3 * width, width}), out(f64, {width, width});
  for (std::int64_t i = 0; i < width; ++i) {
    for (const std::int64_t part : {0, 1, 2}) in.data<double>()[(part * width + i) * width + i] = 1;
    out.data<double>()[i * width + i] = 1;
  }
  store.set("attention/in_proj_weight", in);
  store.set("attention/out_proj/weight", out);
}

}  // namespace

TEST_CASE("multi-head: results, weights and gradients are PyTorch's, under its names", "[core][nn][attention]") {
  const Safetensors file = read_safetensors(WEFT_TESTS_DIR "/nn/data/multihead_attention.safetensors");
  for (const TorchCase& c : torch_cases()) {
    DYNAMIC_SECTION(c.name) {
      std::size_t compared = 0;
      for (const auto& [name, got] : run(c, file)) {
        INFO(name);
        const Tensor& want = file.tensors.at(c.name + "/" + name);
        REQUIRE(got.extents() == want.extents());
        for (std::int64_t i = 0; i < got.size(); ++i)
          CHECK(got.at(i) == Approx(want.at(i)).epsilon(1e-10).margin(1e-12));
        ++compared;
      }
      CHECK(compared >= 5);
    }
  }
}

TEST_CASE("multi-head: the packed projection of one tensor is one product, that of a memory two",
          "[core][nn][attention]") {
  const auto products = [](auto build) {
    Graph graph;
    const Value x = graph.input("x", f32, {graph.dim("batch", 2), 5, 8}),
                m = graph.input("m", f32, {graph.dim("batch", 2), 7, 8});
    const nn::MultiheadAttention attention(graph, "attention", {.width = 8, .heads = 2});
    const Value y = build(attention, x, m);
    graph.check();
    std::size_t count = 0;
    for (const NodeId id : graph.ids()) count += graph.node(id).op == &linear_op() ? 1 : 0;
    return count;
  };
  CHECK(products([](const auto& a, const Value& x, const Value&) { return a(x); }) == 2);  // with the last projection
  CHECK(products([](const auto& a, const Value& x, const Value& m) { return a(x, m, m); }) == 3);
}

TEST_CASE("multi-head: packed, side by side and cached projections are the same numbers", "[core][nn][attention]") {
  Graph graph;
  const Value x = graph.input("x", f64, {2, 5, 8}), copy = graph.input("copy", f64, {2, 5, 8});
  const nn::MultiheadAttention attention(graph, "attention", {.width = 8, .heads = 4, .kv_heads = 2, .dtype = f64});
  const Tensor in = normal({2, 5, 8}, 1);
  const nn::AttentionHeads apart{attention.project_queries(x), attention.project_memory(x, x).k,
                                 attention.project_memory(x, copy).v};
  const auto got = evaluate({attention(x), attention(x, x, copy), attention.attend(apart)},
                            std::vector<Feed>{{"x", in}, {"copy", in}});
  CHECK(distance(got[0], got[1]) < 1e-14);
  CHECK(distance(got[0], got[2]) < 1e-14);
}

TEST_CASE("multi-head: parameters start as PyTorch's do", "[core][nn][attention]") {
  Graph graph;
  const nn::MultiheadAttention packed(graph, "packed", {.width = 96, .heads = 4, .add_bias_kv = true}),
      apart(graph, "apart", {.width = 96, .heads = 4, .key_width = 60, .value_width = 120});
  const Store store(graph, {.seed = 5});
  const auto uniform = [&](const std::string& path, double bound) {
    INFO(path);
    double most = 0, squares = 0;
    const Tensor& tensor = store.tensor(path);
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      most = std::max(most, std::abs(tensor.at(i)));
      squares += tensor.at(i) * tensor.at(i);
    }
    CHECK(most <= bound);
    CHECK(most > 0.99 * bound);
    CHECK(std::sqrt(squares / static_cast<double>(tensor.size())) == Approx(bound / std::sqrt(3.0)).epsilon(0.05));
  };
  uniform("packed/in_proj_weight", std::sqrt(6.0 / (96 + 288)));  // over the whole matrix
  uniform("apart/q_proj_weight", std::sqrt(6.0 / (96 + 96)));
  uniform("apart/k_proj_weight", std::sqrt(6.0 / (60 + 96)));
  uniform("apart/v_proj_weight", std::sqrt(6.0 / (120 + 96)));
  uniform("packed/out_proj/weight", 1 / std::sqrt(96.0));
  for (const char* path : {"packed/in_proj_bias", "packed/out_proj/bias", "apart/in_proj_bias"})
    CHECK(std::ranges::all_of(store.tensor(path).values<float>(), [](float v) { return v == 0; }));
  CHECK(store.tensor("packed/bias_k").extents() == Tensor::Extents{1, 1, 96});
  CHECK(store.tensor("packed/bias_v").at(0) != 0);
  CHECK_FALSE(store.has("apart/in_proj_weight"));
}

TEST_CASE("multi-head: a bool mask says what may be attended to, an additive one what is added",
          "[core][nn][attention]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 2);
  const Value x = graph.input("x", f64, {batch, 4, 6}), keep = graph.input("keep", boolean, {batch, 4});
  const nn::MultiheadAttention attention(graph, "attention", {.width = 6, .heads = 2, .dtype = f64});
  const Value added = where(keep, zeros(graph, {batch, 4}, f32), -std::numeric_limits<double>::infinity());
  const auto by_bool = attention.with_weights(x, x, x, {.key_padding_mask = keep});
  const auto by_sum = attention.with_weights(x, x, x, {.key_padding_mask = added});
  const auto by_both = attention.with_weights(x, x, x,
                                              {.key_padding_mask = keep,
                                               .attn_mask = reshape(keep, {batch, 1, 1, 4}),
                                               .attention = {.mask = unsqueeze(unsqueeze(keep, 1), 1)}});
  const Tensor in = normal({2, 4, 6}, 1),
               mask = Tensor::of<bool>({2, 4}, {true, false, true, true, true, true, false, false});
  const auto got = evaluate({by_bool.weights, by_sum.weights, by_both.weights, by_bool.y, by_sum.y},
                            std::vector<Feed>{{"x", in}, {"keep", mask}});
  for (std::int64_t i = 0; i < got[0].size(); ++i) CHECK((got[0].at(i) != 0) == (mask.at(i / 32 * 4 + i % 4) != 0));
  CHECK(distance(got[0], got[1]) < 1e-14);
  CHECK(same_bits(got[0], got[2]));
  CHECK(distance(got[3], got[4]) < 1e-14);
}

TEST_CASE("configuration: widths of heads are free, and causal, window and temperature are the module's",
          "[core][nn][attention]") {
  Graph graph;
  const Value x = graph.input("x", f64, {2, 6, 9});
  const auto make = [&](const char* path, nn::AttentionConfig config) {
    config.width = 9, config.heads = 2, config.head_width = 4, config.value_head_width = 5, config.dtype = f64;
    return nn::MultiheadAttention(graph, path, config);
  };
  const auto plain = make("plain", {}), set = make("set", {.temperature = 0.5, .causal = true, .window = 3});
  CHECK(plain.in_proj_weight.shape() == Shape{2 * (4 + 4 + 5), 9});
  CHECK(plain.out.weight.shape() == Shape{9, 10});
  Store store(graph);
  for (const char* part : {"in_proj_weight", "in_proj_bias", "out_proj/weight", "out_proj/bias"})
    store.set(fmt::format("set/{}", part), store.tensor(fmt::format("plain/{}", part)));
  // Half of the temperature is twice the scale: 2 / sqrt(4).
  const Value by_call = plain(x, {.attention = {.causal = true, .window = 3, .scale = 1.0}}), by_module = set(x);
  const Value both = set(x, {.attention = {.temperature = 2}}),
              warmer = plain(x, {.causal = true, .attention = {.window = 3}});
  Program program(fetching({by_call, by_module, both, warmer}), store);
  const Tensor in = normal({2, 6, 9}, 1);
  const Result result = program.run({{"x", in}});
  CHECK(distance(result.tensor(by_call), result.tensor(by_module)) < 1e-14);
  CHECK(distance(result.tensor(both), result.tensor(warmer)) < 1e-14);
  CHECK(distance(result.tensor(by_module), result.tensor(both)) > 1e-3);
}

TEST_CASE("configuration: the weights and the result are dropped separately, only while training",
          "[core][nn][attention]") {
  const auto drawn = [](double weights, double out) {
    Graph graph;
    const Value x = graph.input("x", f64, {3, 7, 8});
    const nn::MultiheadAttention attention(
        graph, "attention", {.width = 8, .heads = 2, .dropout = weights, .out_dropout = out, .dtype = f64});
    const Value y = attention(x);
    const Tensor in = normal({3, 7, 8}, 1);
    const Tensor trained = evaluate(y, {{"x", in}});
    Store store(graph);
    Program program(inference({y}), store);
    const Tensor calm = program.run({{"x", in}}).tensor(y).clone();
    std::int64_t zeros = 0, same = 0;
    for (std::int64_t i = 0; i < calm.size(); ++i) {
      zeros += trained.at(i) == 0 ? 1 : 0;
      same += std::abs(trained.at(i) * (1 - out) - calm.at(i)) < 1e-12 ? 1 : 0;
    }
    return std::pair(zeros, same);
  };
  CHECK(drawn(0, 0) == std::pair<std::int64_t, std::int64_t>{0, 168});
  CHECK(drawn(0.5, 0).first == 0);
  CHECK(drawn(0.5, 0).second < 20);
  const auto [zeros, same] = drawn(0, 0.5);
  CHECK(zeros > 50);
  CHECK(zeros < 118);
  CHECK(zeros + same == 168);
}

TEST_CASE("configuration: what cannot be is refused with what was given, at the user's line",
          "[core][nn][attention][errors]") {
  const auto refused = [](nn::AttentionConfig config, const std::string& message) {
    if (config.width == 0) config.width = 8;
    Graph graph;
    INFO(message);
    CHECK_THROWS_WITH(nn::MultiheadAttention(graph, "self_attn", config),
                      ContainsSubstring("'self_attn' (multihead_attention_test.cpp:") && ContainsSubstring(message));
    CHECK_THROWS_WITH(nn::Attention(graph, "self_attn", config), ContainsSubstring(message));
  };
  refused({.heads = 3}, "multiple of heads, or head_width be given, got width 8 and 3 heads");
  refused({.width = -8, .heads = 2}, "positive multiple of heads");
  refused({.heads = 0}, "0 heads");
  refused({.heads = 4, .kv_heads = 3}, "kv_heads must divide heads, got 3 kv_heads and 4 heads");
  refused({.heads = 4, .kv_heads = -1}, "kv_heads must divide heads");
  refused({.heads = 2, .key_width = -1}, "key_width must be positive, got -1");
  refused({.heads = 2, .value_width = -2}, "value_width must be positive, got -2");
  refused({.heads = 3, .head_width = -3}, "head_width must be positive, got -3");
  refused({.heads = 2, .value_head_width = -4}, "value_head_width must be positive, got -4");
  refused({.heads = 2, .dropout = 1}, "dropout must be in [0, 1), got 1");
  refused({.heads = 2, .dropout = -0.1}, "dropout must be in [0, 1), got -0.1");
  refused({.heads = 2, .out_dropout = 1.5}, "out_dropout must be in [0, 1), got 1.5");
  refused({.heads = 2, .dropout = std::nan("")}, "dropout must be in [0, 1), got nan");
  refused({.heads = 2, .temperature = 0}, "temperature must be positive, got 0");
  refused({.heads = 2, .temperature = -1}, "temperature must be positive, got -1");
  refused({.heads = 2, .window = 0}, "window must be at least 1, got 0");
  refused({.heads = 2, .dtype = i64}, "dtype must be floating, got i64");
  refused({.heads = 2, .add_zero_attn = true, .causal = true}, "causal and window cannot go with them");
  refused({.heads = 2, .add_bias_kv = true, .window = 2}, "causal and window cannot go with them");
}

TEST_CASE("multi-head: a call that does not fit is refused at the user's line", "[core][nn][attention][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {2, 5, 8}), flat = graph.input("flat", f32, {2, 8}),
              wide = graph.input("wide", f32, {2, 5, 9});
  const Value ids = graph.input("ids", i64, {2, 5}), half = graph.input("half", boolean, {2, 4});
  const nn::MultiheadAttention attention(graph, "self_attn", {.width = 8, .heads = 2}),
      extra(graph, "extra", {.width = 8, .heads = 2, .add_zero_attn = true});
  CHECK_THROWS_WITH(attention(x, {.key_padding_mask = half}),
                    ContainsSubstring("multihead_attention_test.cpp:") &&
                        ContainsSubstring("key_padding_mask must be [batch, time_k] = [2, 5]") &&
                        ContainsSubstring("bool[2, 4]"));
  CHECK_THROWS_WITH(attention(x, {.key_padding_mask = ids}), ContainsSubstring("got i64[2, 5]"));
  CHECK_THROWS_WITH(attention(x, {.attn_mask = ids}),
                    ContainsSubstring("attn_mask must be of bool or a floating type, got i64"));
  CHECK_THROWS_WITH(extra(x, {.causal = true}), ContainsSubstring("'extra' (multihead_attention_test.cpp:") &&
                                                    ContainsSubstring("say it by a mask"));
  CHECK_FALSE(attention(flat).valid());
  CHECK_FALSE(attention.with_weights(flat, flat, flat).weights.valid());
  CHECK_FALSE(extra(flat).valid());
  CHECK_THROWS_WITH(attention.output(x), ContainsSubstring("expected [batch, time_q, heads, value_head_width]"));
  CHECK_FALSE(attention(wide).valid());
  CHECK_FALSE(attention(x, {.attn_mask = half}).valid());
  CHECK_THROWS_WITH(graph.check(), ContainsSubstring("multihead_attention_test.cpp:") && ContainsSubstring("rank 4") &&
                                       ContainsSubstring("mask must broadcast"));
}

TEST_CASE("properties: where queries, keys and values are one orthonormal set, each weighs itself most",
          "[core][nn][attention]") {
  Graph graph;
  const Value x = graph.input("x", f64, {1, 6, 6});
  const nn::MultiheadAttention attention(graph, "attention", {.width = 6, .heads = 1, .bias = false, .dtype = f64});
  Tensor identity(f64, {1, 6, 6});
  for (std::int64_t i = 0; i < 6; ++i) identity.data<double>()[i * 7] = 1;
  const auto [y, weights] = attention.with_weights(x, x, x);
  Store store(graph);
  make_identity(store, 6);
  Program program(fetching({y, weights}), store);
  const Result result = program.run({{"x", identity}});
  const Tensor p = result.tensor(weights), out = result.tensor(y);
  const double e = std::exp(1 / std::sqrt(6.0));
  for (std::int64_t i = 0; i < 36; ++i) {
    CHECK(p.at(i) == Approx((i % 7 == 0 ? e : 1) / (e + 5)).epsilon(1e-13));
    if (i % 7 != 0) CHECK(p.at(i) < p.at(i / 6 * 7));
    CHECK(out.at(i) == Approx(p.at(i)).epsilon(1e-13));  // the values are the identity too
  }
}

TEST_CASE("properties: without positions, permuted tokens give permuted results", "[core][nn][attention]") {
  Graph graph;
  const Value x = graph.input("x", f64, {2, 7, 8});
  const nn::MultiheadAttention attention(graph, "attention", {.width = 8, .heads = 4, .dtype = f64});
  const Value y = attention(x);
  const std::vector<std::int64_t> order{3, 0, 6, 2, 5, 1, 4};
  const auto permuted = [&](const Tensor& from) {
    Tensor to = from.clone();
    for (std::int64_t i = 0; i < from.size(); ++i)
      to.data<double>()[i] = from.at(i / 56 * 56 + order[static_cast<std::size_t>(i / 8 % 7)] * 8 + i % 8);
    return to;
  };
  const Tensor in = normal({2, 7, 8}, 1);
  CHECK(distance(evaluate(y, {{"x", permuted(in)}}), permuted(evaluate(y, {{"x", in}}))) < 1e-14);
  CHECK(distance(evaluate(y, {{"x", permuted(in)}}), evaluate(y, {{"x", in}})) > 1e-2);
}

TEST_CASE("properties: gradients reach queries, keys and values, and rows of weights sum to one",
          "[core][nn][attention]") {
  Graph graph;
  const Value q = graph.input("q", f64, {2, 5, 8}), k = graph.input("k", f64, {2, 6, 8}),
              v = graph.input("v", f64, {2, 6, 8});
  const nn::MultiheadAttention attention(graph, "attention", {.width = 8, .heads = 2, .dtype = f64});
  const auto [y, weights] = attention.with_weights(q, k, v);
  std::vector<Value> wanted = gradient(sum(square(y)), {q, k, v});
  for (Value& gradient : wanted) gradient = sum(square(gradient));
  wanted.push_back(weights);
  const Tensor a = normal({2, 5, 8}, 1), b = normal({2, 6, 8}, 2), c = normal({2, 6, 8}, 3);
  const auto got = evaluate(wanted, std::vector<Feed>{{"q", a}, {"k", b}, {"v", c}});
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::sqrt(got[i].item()) > 1e-8);
  REQUIRE(got[3].extents() == Tensor::Extents{2, 2, 5, 6});
  for (std::int64_t row = 0; row < 20; ++row) {
    double total = 0;
    for (std::int64_t j = 0; j < 6; ++j) total += got[3].at(row * 6 + j);
    CHECK(total == Approx(1).epsilon(1e-14));
  }
}

TEST_CASE("multi-head: its gradients agree with central differences", "[core][nn][attention]") {
  Graph graph;
  const Value q = graph.input("q", f64, {2, 3, 6}), m = graph.input("m", f64, {2, 4, 5});
  const nn::MultiheadAttention attention(graph, "attention",
                                         {.width = 6,
                                          .heads = 4,
                                          .kv_heads = 2,
                                          .key_width = 5,
                                          .value_width = 5,
                                          .head_width = 2,
                                          .value_head_width = 3,
                                          .add_bias_kv = true,
                                          .add_zero_attn = true,
                                          .dropout = 0.2,
                                          .out_dropout = 0.1,
                                          .dtype = f64});
  const Value bias = graph.parameter("score_bias", {f64, {4, 3, 4}}, init::normal(0, 1));
  std::vector<Value> by = graph.parameters();
  by.push_back(q);
  by.push_back(m);
  const Tensor a = normal({2, 3, 6}, 1), b = normal({2, 4, 5}, 2);
  const GradientCheck result =
      check_gradients(sin(attention(q, m, m, {.attn_mask = bias})), by, {{"q", a}, {"m", b}}, {.most_elements = 30});
  INFO(result.str());
  CHECK(result.passed());
}

TEST_CASE("multi-head: transforms keep its mathematics", "[nn][attention]") {
  Graph graph;
  constexpr std::int64_t width = 8, vocab = 11;
  const Dim batch = graph.dim("batch", 6), time = graph.dim("time", 5);
  const Value tokens = graph.input("tokens", i32, {batch, time}), targets = graph.input("targets", i64, {batch, time});
  const nn::Embedding table(graph, "embedding", {.count = vocab, .width = width, .init = init::normal(0, 0.5)});
  const nn::MultiheadAttention self(
      graph, "self",
      {.width = width, .heads = 4, .kv_heads = 2, .head_width = 3, .dropout = 0.1, .out_dropout = 0.1, .causal = true}),
      cross(graph, "cross", {.width = width, .heads = 2, .add_bias_kv = true, .add_zero_attn = true});
  const nn::LayerNorm first(graph, "first", {.width = width}), second(graph, "second", {.width = width});
  const nn::FeedForward feed_forward(graph, "feed_forward", {.width = width, .hidden = 12, .dropout = 0.1});
  const nn::Linear words(graph, "words", {.in = width, .out = vocab});
  const Value memory = table(tokens), keep = not_equal(tokens, 0);
  Value x = first(memory + self(memory));
  x = second(x + cross(x, memory, memory, {.key_padding_mask = keep}));
  x = x + feed_forward(x);
  const Step plain = training_step(cross_entropy(words(x), targets));
  const EquivalenceOptions options{
      .runs = 2, .integers = {{"tokens", vocab}, {"targets", vocab}}, .padding = {{"targets", -100}}};
  const auto finish = clip_global_norm(0.5);
  for (const Step& changed :
       {plain | accumulate(3), plain | accumulate(6) | finish, plain | checkpoint(dots_saveable()),
        plain | mixed_precision(bf16), plain | optimize(adamw({.rate = 1e-2})) | checkpoint(every_block())}) {
    const bool clipped = changed.has_fetch("grad_norm"), stepped = !changed.updates.empty();
    const Step before = stepped ? plain | optimize(adamw({.rate = 1e-2})) : clipped ? plain | finish : plain;
    const Equivalence result = verify_equivalent(before, changed, options);
    INFO(result.str());
    CHECK(result.passed());
  }
}
