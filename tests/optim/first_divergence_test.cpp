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
