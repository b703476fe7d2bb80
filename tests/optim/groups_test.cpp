// Several optimizers, groups and frozen parameters.
#include <optim/fed_gradients.h>
#include <support/catch.h>

#include <algorithm>
#include <limits>

using namespace weft;
using test::FedGradients, test::different_cells;

namespace {

using Paths = std::vector<std::string>;

// y = ((x a + c) b) d, of three layers.
struct Layers {
  Graph graph;
  Value x, a, c, b, d;
  Loss loss;

  Layers() {
    x = graph.input("x", f32, {graph.dim("batch", 4), 3});
    Value y;
    {
      const auto scope = graph.scope("first");
      a = graph.parameter("weight", {f32, {3, 5}}, init::normal(0, 1));
      c = graph.parameter("bias", {f32, {5}}, init::normal(0, 1));
      y = tanh(matmul(x, a) + c);
    }
    {
      const auto scope = graph.scope("second");
      b = graph.parameter("weight", {f32, {5, 4}}, init::normal(0, 1));
      y = tanh(matmul(y, b));
    }
    {
      const auto scope = graph.scope("head");
      d = graph.parameter("weight", {f32, {4, 2}}, init::normal(0, 1));
      y = matmul(y, d);
    }
    loss = LossTerm{1, sum(y * y), full(graph, {}, f32, 8)};
  }
};

Tensor data(double scale = 1) {
  Tensor tensor(f32, {4, 3});
  for (std::int64_t i = 0; i < 12; ++i)
    tensor.data<float>()[i] = static_cast<float>(scale * std::cos(static_cast<double>(i * i)));
  return tensor;
}

Store train(const Step& step, int runs = 3) {
  Store store(step, {.seed = 4});
  Program program(step, store);
  for (int i = 0; i < runs; ++i) {
    const Tensor x = data(1 + 0.1 * i);
    program.run({{"x", x}});
  }
  return store;
}

std::size_t backward_nodes(const Step& step) {
  std::size_t count = 0;
  for (const Audit::Use& use : audit(step).ops) count += use.backward;
  return count;
}

}  // namespace

TEST_CASE("of several optimizers the first whose pattern matches updates a parameter", "[core][optim][groups]") {
  const Layers model;
  const Step step = training_step(model.loss) | optimize({{"**/bias", sgd({.rate = 0.5, .momentum = 0.9})},
                                                          {"head/**", lion({.rate = 0.01})},
                                                          {"**", muon({.rate = 0.1})}});
  CHECK(step.history().back() == "optimize(sgd, lion, muon)");
  CHECK(audit(step).complete());
  const Store both = train(step);
  CHECK(both.match("optimizer/**") == Paths{"optimizer/exp_avg/head/weight", "optimizer/momentum_buffer/first/bias",
                                            "optimizer/momentum_buffer/first/weight",
                                            "optimizer/momentum_buffer/second/weight"});
  // The gradients of one step do not depend on the optimizer: each first update is as if its optimizer had all.
  auto first = [&](const Step& s, const char* path) { return train(s, 1).tensor(path).clone(); };
  const Step base = training_step(model.loss);
  CHECK(
      same_bits(first(step, "first/bias"), first(base | optimize(sgd({.rate = 0.5, .momentum = 0.9})), "first/bias")));
  CHECK(same_bits(first(step, "head/weight"), first(base | optimize(lion({.rate = 0.01})), "head/weight")));
  CHECK_FALSE(same_bits(first(step, "head/weight"), first(base | optimize(sgd({.rate = 0.5})), "head/weight")));
}

TEST_CASE("updates and skipped steps are counted once, whatever the number of optimizers", "[core][optim][groups]") {
  const Layers model;
  const Step step = training_step(model.loss) | optimize({{"**/bias", sgd()}, {"**", adamw()}});
  Store store(step);
  Program program(step, store);
  const Tensor good = data(), bad = data(std::numeric_limits<double>::infinity());
  program.run({{"x", good}});
  program.run({{"x", bad}});
  program.run({{"x", good}});
  CHECK(store.updates() == 2);
  CHECK(store.tensor("skipped").item() == 1);
  CHECK(store.runs() == 3);
}

TEST_CASE("each optimizer publishes its rate", "[core][optim][groups]") {
  const Layers model;
  const Step step = training_step(model.loss) | optimize({{"**/bias", sgd({.rate = 0.5})},
                                                          {"head/**", adamw({.rate = exponential_lr(0.25, 0.5)})},
                                                          {"**", adamw({.rate = 0.125})}});
  Store store(step);
  Program program(step, store);
  const Tensor x = data();
  program.run({{"x", x}});
  const Result result = program.run({{"x", x}});
  CHECK(result.scalar("rate") == 0.5);
  CHECK(result.scalar("rate/sgd") == 0.5);
  CHECK(result.scalar("rate/adamw") == 0.125);
  CHECK(result.scalar("rate/adamw_1") == 0.125);
  CHECK_FALSE((training_step(model.loss) | optimize(sgd())).has_fetch("rate/sgd"));
}

TEST_CASE("a group has its own rate, factor and decay", "[core][optim][groups]") {
  FedGradients model(f64);
  const Step step = training_step(model.loss) |
                    optimize(sgd({.rate = 0.1,
                                  .weight_decay = 0.5,
                                  .groups = {{.pattern = "w", .rate = exponential_lr(0.25, 0.5), .rate_factor = 2},
                                             {.pattern = "v", .weight_decay = 0.25},
                                             {.least_rank = 0, .rate_factor = 0.5}}}));
  Store store(step);
  const Store before = store.clone();
  Program program(step, store);
  const Result result = model.run(program, 1);
  CHECK(result.scalar("rate") == 0.1);
  CHECK(result.scalar("rate/w") == 0.25);
  auto expect = [&](const char* path, std::size_t k, double rate, double decay) {
    const double p = before.tensor(path).at(2), g = model.gradients[k].at(2);
    CHECK(store.tensor(path).at(2) == Approx(p - rate * (g + decay * p)).epsilon(1e-14));
  };
  expect("w", 0, 0.5, 0.5);
  expect("v", 1, 0.1, 0.25);
  expect("b", 2, 0.05, 0.5);
  CHECK(model.run(program, 2).scalar("rate/w") == 0.125);
}

TEST_CASE("decay_rank leaves vectors out of the decay unless a group decides", "[core][optim][groups]") {
  FedGradients model(f64);
  for (Tensor& gradient : model.gradients) gradient = Tensor(f64, gradient.extents());
  const Step step =
      training_step(model.loss) |
      optimize(
          lion({.rate = 0.5, .weight_decay = 0.5, .decay_rank = 2, .groups = {{.pattern = "v", .weight_decay = 0.0}}}));
  Store store(step);
  const Store before = store.clone();
  Program program(step, store);
  program.run(model.feeds());
  CHECK(store.tensor("w").at(0) == before.tensor("w").at(0) * 0.75);
  CHECK(same_bits(store.tensor("v"), before.tensor("v")));
  CHECK(same_bits(store.tensor("b"), before.tensor("b")));
}

TEST_CASE("a frozen parameter keeps its bits, has no state, and its gradient is not computed",
          "[core][optim][groups][freeze]") {
  const Layers model;
  const Step all = training_step(model.loss);
  const Step step = all | freeze({"first/**"}) | clip_global_norm(1.0) | optimize(adamw({.rate = 0.1}));
  CHECK(step.gradients.size() == 2);
  CHECK(step.gradient_of(model.a) == nullptr);
  const Store store = train(step), start(model.graph, {.seed = 4});
  CHECK(same_bits(store.tensor("first/weight"), start.tensor("first/weight")));
  CHECK(same_bits(store.tensor("first/bias"), start.tensor("first/bias")));
  CHECK_FALSE(same_bits(store.tensor("head/weight"), start.tensor("head/weight")));
  CHECK(store.match("optimizer/*/first/**").empty());
  // The backward pass ends at the first trained layer: no node of it stands for the frozen one.
  const Step frozen = all | freeze({"first/**"});
  CHECK(backward_nodes(frozen) < backward_nodes(all));
  for (const NodeId id : frozen.graph.ids()) {
    const Node& node = frozen.graph.node(id);
    if (node.provenance.pass == "gradient")
      CHECK_FALSE(all.graph.node(node.provenance.origin).name.starts_with("first"));
  }
  CHECK(frozen.find(model.a).valid());
}

TEST_CASE("what is trained beside frozen parameters has the same gradients as without",
          "[core][optim][groups][freeze]") {
  const Layers model;
  auto gradients = [&](const Step& step) {
    Step fetched = step;
    for (const Gradient& g : step.gradients) fetched.set_fetch(g.parameter.node().name, g.value);
    Store store(fetched, {.seed = 4});
    Program program(fetched, store);
    const Tensor x = data();
    const Result result = program.run({{"x", x}});
    GradientTable table;
    for (const Gradient& g : step.gradients)
      for (std::int64_t i = 0; i < g.value.shape().count(); ++i)
        table[g.parameter.node().name].push_back(result.tensor(g.parameter.node().name).at(i));
    return table;
  };
  const Step all = training_step(model.loss);
  const Step frozen = all | freeze({"second/**", "**/bias"});
  CHECK(gradients(frozen) == frozen.applied.back().law(gradients(all)));  // the transform's own claim
  CHECK(gradients(frozen).size() == 2);
}

TEST_CASE("the norm counts no frozen parameter, unless it was clipped before", "[core][optim][groups][freeze]") {
  const Layers model;
  const Tensor x = data();
  auto norm = [&](const Step& step) {
    Store store(step, {.seed = 4});
    Program program(step, store);
    return program.run({{"x", x}}).scalar("grad_norm");
  };
  const Step all = training_step(model.loss);
  const double whole = norm(all | optimize(adamw()));
  const double without = norm(all | freeze("first/**") | optimize(adamw()));
  CHECK(without < whole);
  CHECK(norm(all | freeze("first/**") | clip_global_norm(1.0) | optimize(adamw())) == without);
  const Optimizer group = adamw({.groups = {{.pattern = "first/**", .frozen = true}}});
  CHECK(norm(all | optimize(group)) == without);
  CHECK(norm(all | clip_global_norm(1.0) | optimize(group)) == whole);
}

TEST_CASE("a frozen group is as freeze", "[core][optim][groups][freeze]") {
  const Layers model;
  const Step a = training_step(model.loss) | freeze("first/**") | optimize(sgd({.rate = 0.1}));
  const Step b =
      training_step(model.loss) | optimize(sgd({.rate = 0.1, .groups = {{.pattern = "first/**", .frozen = true}}}));
  CHECK(different_cells(train(a), train(b)).empty());
  CHECK(backward_nodes(a) == backward_nodes(b));
}

TEST_CASE("the audit tells frozen from cut off", "[core][optim][groups][freeze][audit]") {
  const Layers model;
  const Step step = training_step(model.loss) | freeze("first/**") | optimize(sgd());
  const Audit result = audit(step);
  CHECK(result.complete());
  for (const Audit::Row& row : result.parameters) {
    CHECK(row.frozen == row.path.starts_with("first/"));
    CHECK(row.updated != row.frozen);
    CHECK(row.cut.empty());
  }
  CHECK_THAT(result.str(), ContainsSubstring("2 of 4 parameters learn (28 of 48 elements)"));
  CHECK_THAT(result.str(), ContainsSubstring("frozen    no"));
  CHECK_FALSE(audit(evaluation(model.loss)).parameters.front().frozen);
}

TEST_CASE("patterns that get no parameter are refused", "[core][optim][groups][errors]") {
  const Layers model;
  const Step step = training_step(model.loss);
  CHECK_THROWS_WITH(
      step | optimize({{"encoder/**", sgd()}, {"**", adamw()}}),
      ContainsSubstring("optimize: the pattern 'encoder/**' of sgd matches no parameter; hint: the first of 4 are "
                        "first/weight, first/bias, second/weight and 1 more"));
  CHECK_THROWS_WITH(
      step | optimize({{"**", adamw()}, {"head/**", sgd()}}),
      ContainsSubstring(
          "optimize: the pattern 'head/**' of sgd gets no parameter: earlier patterns match all of its own; "
          "hint: the first match wins, so put the narrower pattern first"));
  CHECK_THROWS_WITH(
      step | optimize({{"head/**", sgd({.groups = {{.pattern = "first/**"}}})}, {"**", adamw()}}),
      ContainsSubstring("sgd: the group 'first/**' matches no parameter; hint: the first of 1 are head/weight"));
  CHECK_THROWS_WITH(
      step | optimize(sgd({.groups = {{.pattern = "**"}, {.pattern = "**/bias", .frozen = true}}})),
      ContainsSubstring("sgd: the group '**/bias' gets no parameter: earlier patterns match all of its own"));
  CHECK_THROWS_WITH(
      step | freeze({"first/**", "encoder/**"}),
      ContainsSubstring("groups_test.cpp:") &&
          ContainsSubstring(
              ": freeze: the pattern 'encoder/**' matches no trained parameter; hint: the first of 4 is first/weight"));
}

TEST_CASE("a parameter that no optimizer claims is refused by name", "[core][optim][groups][errors]") {
  const Layers model;
  const Step step = training_step(model.loss);
  CHECK_THROWS_WITH(
      step | optimize({{"head/**", sgd()}}),
      ContainsSubstring(
          "no optimizer claims 3 of 4 parameters: first/weight, first/bias, second/weight; hint: a last "
          "{\"**\", ...} claims the rest, freeze({\"first/weight\"}) leaves them as they are on purpose"));
  CHECK(audit(step | freeze({"first/**", "second/**"}) | optimize({{"head/**", sgd()}})).complete());
}

TEST_CASE("freezing everything, nothing, twice or too late is refused", "[core][optim][groups][errors]") {
  const Layers model;
  const Step step = training_step(model.loss);
  CHECK_THROWS_WITH(step | freeze("**"),
                    ContainsSubstring("freeze leaves nothing to train: all 4 parameters with a gradient are frozen"));
  CHECK_THROWS_WITH(step | optimize(sgd({.groups = {{.frozen = true}}})),
                    ContainsSubstring("optimize leaves nothing to train"));
  CHECK_THROWS_WITH(freeze(Paths{}), ContainsSubstring("freeze needs a pattern, got none"));
  CHECK_THROWS_WITH(step | freeze("head/**") | freeze("head/**"), ContainsSubstring("matches no trained parameter"));
  CHECK_THROWS_WITH(step | clip_global_norm(1.0) | freeze("head/**"),
                    ContainsSubstring("freeze must come before clip_global_norm"));
  CHECK_THROWS_WITH(evaluation(model.loss) | freeze("head/**"), ContainsSubstring("freeze needs 'gradients'"));
  CHECK_THROWS_WITH(optimize(std::vector<OptimizerGroup>{}),
                    ContainsSubstring("optimize needs an optimizer, got none; hint: optimize(adamw())"));
}
