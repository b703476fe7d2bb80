#include <support/catch.h>

#include <weft/weft.h>

using namespace weft;

namespace {

struct Model {
  Graph graph;
  Value hidden, squashed, out;
  Loss loss;
  Tensor x = Tensor::of<float>({4, 3}, {1, 2, 3, -1, 0.5F, 2, 0, 1, -2, 3, 1, 1});

  Model() {
    const Value in = graph.input("x", f32, {graph.dim("batch", 4), 3});
    const Value w = graph.parameter("w", {f32, {3, 2}}, init::normal(0, 1));
    hidden = matmul(in, w);
    squashed = tanh(hidden);
    out = exp(squashed);
    loss = LossTerm{1, sum(out * out), full(graph, {}, f32, 4)};
  }
};

// The same step with `make(value)` for whoever reads `value`.
Step replaced(const Step& step, const Value& value, const std::string& pass,
              const std::function<Value(const Value&)>& make) {
  Rebuild rebuild(step.graph, pass);
  const NodeId at = step.find(value).ref().node;
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    rebuild.keep(node);
    if (id != at) continue;
    const Scope scope = rebuild.in_place_of(node);
    rebuild.replace(node, {make(rebuild.map({id, 0}))});
  }
  return step.over(rebuild.finish());
}

}  // namespace

TEST_CASE("steps that compute the same have no first divergence", "[core][optim][divergence]") {
  const Model model;
  const Step step = training_step(model.loss) | optimize(adamw({.rate = 1e-2}));
  const std::vector<Feed> feeds{{"x", model.x}};
  CHECK_FALSE(first_divergence(step, step, feeds).has_value());
  CHECK(align(step, step).size() == step.graph.size());
}

TEST_CASE("of two faults the one that is built first is named, with the nodes between", "[core][optim][divergence]") {
  const Model model;
  const Step step = training_step(model.loss);
  const Step later = replaced(step, model.squashed, "later_fault", [](const Value& v) { return v * 1.5; });
  const Step both = replaced(later, model.hidden, "first_fault", [](const Value& v) { return v + 0.25; });
  const std::vector<Feed> feeds{{"x", model.x}};

  const auto one = first_divergence(step, later, feeds);
  REQUIRE(one.has_value());
  CHECK(one->path == "exp");
  CHECK_THAT(one->inserted, ContainsSubstring("[multiply] by later_fault"));
  CHECK_THAT(one->where, StartsWith("first_divergence_test.cpp:"));

  const auto two = first_divergence(step, both, feeds);
  REQUIRE(two.has_value());
  CHECK(two->path == "tanh");
  CHECK(two->error > 0);
  CHECK_THAT(two->str(), ContainsSubstring("tanh (first_divergence_test.cpp:") && ContainsSubstring("expected") &&
                             ContainsSubstring("[add] by first_fault"));
}

TEST_CASE("a difference within the bound is none", "[core][optim][divergence]") {
  const Model model;
  const Step step = training_step(model.loss);
  const Step near = replaced(step, model.hidden, "near", [](const Value& v) { return v * 1.000001; });
  const std::vector<Feed> feeds{{"x", model.x}};
  CHECK(first_divergence(step, near, feeds).has_value());
  CHECK(first_divergence(step, near, feeds, {.relative = 1e-7}).has_value());
  CHECK_FALSE(first_divergence(step, near, feeds, {.relative = 1e-4}).has_value());
}

TEST_CASE("copies that a pass made are compared with what they were made from", "[core][optim][divergence]") {
  const Model model;
  const Step step = training_step(model.loss);
  Step copied = step.over(step.graph.clone());
  Value clone;
  {
    const Node& node = copied.find(model.squashed).node();
    const auto scope = copied.graph.made_by("checkpoint", node.id);
    clone = copied.graph.apply(*node.op, {copied.graph.value(node.operands.front())}, node.attributes).front();
  }
  const auto aligned = align(step, copied);
  CHECK(aligned.at(clone.ref().node) == model.squashed.ref().node);
}

TEST_CASE("a divergence is looked for from the cells that are given, which stay as they are",
          "[core][optim][divergence]") {
  const Model model;
  const Step step = training_step(model.loss) | optimize(adamw({.rate = 1e-2}));
  Store one(step, {.seed = 1}), other(step, {.seed = 2});
  const Store before = one.clone();
  const std::vector<Feed> feeds{{"x", model.x}};
  const auto differs = first_divergence(step, step, feeds, {.expected_store = &one, .found_store = &other});
  REQUIRE(differs.has_value());
  CHECK(differs->path == "matmul");
  CHECK_FALSE(first_divergence(step, step, feeds, {.expected_store = &one, .found_store = &one}).has_value());
  for (const auto& [path, cell] : before.cells()) CHECK(same_bits(cell.tensor, one.tensor(path)));
}

// --- graphs that were built apart ---

namespace {

// A model by hand, in f32 or f64, with its activation and the width of its second layer to choose.
Step built(double slope, std::int64_t width = 2, DType dtype = f32) {
  Graph graph;
  Value x = graph.input("x", dtype, {graph.dim("batch", 4), 3});
  for (int i = 0; i < 2; ++i) {
    const auto scope = graph.scope(fmt::format("layer/{}", i));
    const std::int64_t in = x.shape().extent(1), out = i == 0 ? 5 : width;
    x = leaky_relu(matmul(x, graph.parameter("w", {dtype, {in, out}}, init::normal(0, 1))), i == 0 ? 0.01 : slope);
  }
  return training_step(weighted_mean(x * x)) | optimize(adamw({.rate = 1e-2}));
}

const Tensor& rows() {
  static const Tensor x = Tensor::of<float>({4, 3}, {1, 2, 3, -1, 0.5F, 2, 0, 1, -2, 3, 1, 1});
  return x;
}

}  // namespace

TEST_CASE("steps that were built apart are compared by path, and an attribute that differs in the middle is found",
          "[core][optim][divergence]") {
  const std::vector<Feed> feeds{{"x", rows()}};
  CHECK_FALSE(first_divergence(built(0.01), built(0.01), feeds).has_value());
  const auto found = first_divergence(built(0.01), built(0.02), feeds);
  REQUIRE(found.has_value());
  CHECK(found->path == "layer/1/leaky_relu");
  CHECK(found->op == "leaky_relu");
  CHECK(found->differing > 0);
  CHECK(found->compared == 8);
  CHECK_THAT(found->str(), ContainsSubstring("layer/1/leaky_relu (first_divergence_test.cpp:") &&
                               ContainsSubstring("of 8 elements differ"));
}

TEST_CASE("a node of another shape is where steps that were built apart part", "[core][optim][divergence]") {
  const std::vector<Feed> feeds{{"x", rows()}};
  const auto found = first_divergence(built(0.01, 2), built(0.01, 6), feeds);
  REQUIRE(found.has_value());
  CHECK_THAT(found->str(), ContainsSubstring("layer/1/matmul (first_divergence_test.cpp:") &&
                               ContainsSubstring(": is f32[batch=4, 6], expected f32[batch=4, 2]"));
}

TEST_CASE("graphs without a path in common cannot be compared", "[core][optim][divergence][errors]") {
  Graph graph;
  const Value y = exp(graph.input("x", f32, {4, 3}));
  const std::vector<Feed> feeds{{"x", rows()}};
  CHECK_THROWS_WITH(first_divergence(built(0.01), fetching({y}), feeds),
                    ContainsSubstring("no node has the same path and op; hint: give modules the same scopes"));
}

// --- dtypes ---

TEST_CASE("a step agrees with its float64 twin up to f32's rounding, and with its bf16 form up to bf16's",
          "[core][optim][divergence]") {
  const std::vector<Feed> feeds{{"x", rows()}};
  const Step step = training_step(Model().loss), apart = built(0.01);
  CHECK_FALSE(first_divergence(step, widen(step), feeds, {.relative = 1e-6}).has_value());
  CHECK(first_divergence(step, widen(step), feeds, {.relative = 1e-9}).has_value());
  CHECK_FALSE(first_divergence(apart, built(0.01, 2, f64), feeds, {.relative = 1e-6, .updates = false}).has_value());
  CHECK(first_divergence(apart, built(0.02, 2, f64), feeds, {.relative = 1e-6}).has_value());
  const Step mixed = step | mixed_precision(bf16);
  CHECK_FALSE(first_divergence(step, mixed, feeds, {.relative = 0.03}).has_value());
  const auto coarse = first_divergence(step, mixed, feeds, {.relative = 1e-5});
  REQUIRE(coarse.has_value());
  CHECK(coarse->path == "matmul");
}

TEST_CASE("steps of two types start from numbers that both can hold", "[core][optim][divergence]") {
  const auto doubled = [](DType dtype) {
    Graph graph;
    return fetching({graph.parameter("w", {dtype, {64}}, init::normal(0, 1)) * 2.0});
  };
  CHECK_FALSE(first_divergence(doubled(f32), doubled(f64), {}).has_value());
  CHECK_FALSE(first_divergence(doubled(f64), doubled(bf16), {}).has_value());
}

TEST_CASE("bounds add up: absolute, relative to the tensor's largest, and in units of the last place",
          "[core][optim][divergence]") {
  const Model model;
  const std::vector<Feed> feeds{{"x", model.x}};
  const Step step = fetching({model.out});
  const Step moved = replaced(step, model.squashed, "moved", [](const Value& v) { return v + 1e-3; });
  CHECK(first_divergence(step, moved, feeds, {.absolute = 1e-4}).has_value());
  CHECK_FALSE(first_divergence(step, moved, feeds, {.absolute = 0.5}).has_value());
  const Step next = replaced(step, model.squashed, "next", [](const Value& v) { return v * (1 + 0x1p-23); });
  const auto found = first_divergence(step, next, feeds, {.ulps = 0.25});
  REQUIRE(found.has_value());
  CHECK(found->bound > 0);
  CHECK_FALSE(first_divergence(step, next, feeds, {.ulps = 8}).has_value());
}

// --- programs and threads ---

TEST_CASE("two programs are compared as they run, from their own stores, which stay as they are",
          "[core][optim][divergence]") {
  const std::vector<Feed> feeds{{"x", rows()}};
  const Step right = built(0.01), wrong = built(0.02);
  Store one(right, {.seed = 3}), other(wrong, {.seed = 3});
  Program a(right, one), b(wrong, other), again(right, one, {.threads = 1});
  const Store before = one.clone();
  CHECK_FALSE(first_divergence(a, again, feeds).has_value());
  const auto found = first_divergence(a, b, feeds);
  REQUIRE(found.has_value());
  CHECK_THAT(found->path, StartsWith("layer/1/") || StartsWith("row_region"));
  for (const auto& [path, cell] : before.cells()) CHECK(same_bits(cell.tensor, one.tensor(path)));
  CHECK(one.runs() == 0);
}

namespace {

// Sums a row in as many parts as there are threads: other bits with another number of them.
void thread_sum(KernelContext& k) {
  const std::int64_t n = k.type(0).count(), parts = threads();
  float total = 0;
  for (std::int64_t part = 0; part < parts; ++part) {
    float sum = 0;
    for (std::int64_t i = part * n / parts; i < (part + 1) * n / parts; ++i) sum += k.in<float>(0)[i];
    total += sum;
  }
  *k.out<float>(0) = total;
}

const OpDef& thread_sum_op() {
  static const OpDef op{.name = "thread_sum",
                        .infer = [](const OpView& view) { return std::vector<TensorType>{{view.type(0).dtype, {}}}; },
                        .batch = same_axis,
                        .kernels = {{.dtype = f32, .run = thread_sum}},
                        .samples = {{{sample::normal({3})}}}};
  return op;
}

}  // namespace

TEST_CASE("a kernel whose bits depend on the number of threads is found, with the numbers",
          "[core][optim][divergence]") {
  Graph graph;
  const Value x = graph.input("x", f32, {999});
  const Value y = exp(build(thread_sum_op(), {tanh(x)}));
  const NamedTensors random = random_feeds(graph, 0);
  const int before = threads();
  const auto found = first_divergence_of_threads(fetching({y}), feeds_of(random), {1, 3});
  REQUIRE(found.has_value());
  CHECK(found->path == "thread_sum");
  CHECK_THAT(found->str(),
             ContainsSubstring("thread_sum (first_divergence_test.cpp:") && ContainsSubstring("3 threads against 1"));
  CHECK(threads() == before);
  const std::vector<Feed> feeds{{"x", rows()}};
  CHECK_FALSE(first_divergence_of_threads(built(0.01), feeds).has_value());
  CHECK_THROWS_WITH(first_divergence_of_threads(built(0.01), feeds, {2}),
                    ContainsSubstring("at least two numbers of threads, got 1"));
}
