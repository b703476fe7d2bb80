#include <support/catch.h>

#include <weft/weft.h>

#include <cmath>
#include <limits>

using namespace weft;

namespace {

// y = x w, loss = sum of squares / count: gradient 2 x^T (x w) / count.
struct Model {
  Graph graph;
  Value x, w, b;
  Loss loss;

  Model() {
    x = graph.input("x", f32, {graph.dim("batch", 4), 3});
    auto scope = graph.scope("layer");
    w = graph.parameter("weight", {f32, {3, 2}}, init::normal(0, 1));
    b = graph.parameter("bias", {f32, {2}}, init::zeros());
    const Value y = matmul(x, w) + b;
    loss = LossTerm{1, sum(y * y), full(graph, {}, f32, 4)};
  }
};

Tensor data(double scale = 1) {
  Tensor tensor(f32, {4, 3});
  for (std::int64_t i = 0; i < 12; ++i)
    tensor.data<float>()[i] = static_cast<float>(scale * std::sin(1.0 + static_cast<double>(i)));
  return tensor;
}

}  // namespace

TEST_CASE("a training step publishes its values and leaves the user's graph as it was", "[core][optim]") {
  Model model;
  const std::size_t before = model.graph.size();
  const Step step = training_step(model.loss) | clip_global_norm(1.0) | optimize(adamw({.rate = 0.01}));
  CHECK(model.graph.size() == before);
  for (const char* name : {"loss", "tokens", "grad_norm", "rate", "finite", "skipped"}) CHECK(step.has_fetch(name));
  CHECK(step.gradients.size() == 2);
  CHECK(step.gradient_of(model.w)->tags.clipped);
  CHECK(audit(step).complete());
  CHECK_THAT(audit(step).str(), ContainsSubstring("training_step | clip_global_norm | optimize(adamw)"));
}

TEST_CASE("the clipped gradients have the norm that was asked for", "[core][optim][clip]") {
  Model model;
  const Step step = training_step(model.loss) | clip_global_norm(0.5);
  Step fetched = step;
  for (const Gradient& gradient : step.gradients) fetched.set_fetch("d " + gradient.parameter.name(), gradient.value);
  Store store(model.graph);
  Program program(fetched, store);
  const Tensor x = data(10);
  const Result result = program.run({{"x", x}});
  CHECK(result.scalar("grad_norm") > 0.5);
  double squares = 0;
  for (const char* name : {"d layer/weight", "d layer/bias"})
    for (std::int64_t i = 0; i < result.tensor(name).size(); ++i) squares += std::pow(result.tensor(name).at(i), 2);
  CHECK(std::sqrt(squares) == Approx(0.5).epsilon(1e-5));
}

TEST_CASE("clipping leaves a short gradient as it is, to the bit", "[core][optim][clip]") {
  Model model;
  const Step plain = training_step(model.loss);
  const Step clipped = plain | clip_global_norm(1e6);
  Store store(model.graph);
  const Tensor x = data();
  auto gradient = [&](const Step& step) {
    Step fetched = step;
    fetched.set_fetch("d", step.gradient_of(model.w)->value);
    Program program(fetched, store);
    return program.run({{"x", x}}).tensor("d").clone();
  };
  CHECK(same_bits(gradient(plain), gradient(clipped)));
}

TEST_CASE("a step with a gradient that is not finite changes nothing but the counters", "[core][optim]") {
  Model model;
  const Step step = training_step(model.loss) | clip_global_norm(1.0) | optimize(adamw({.rate = 0.01}));
  Store store(model.graph, {.seed = 3});
  Program program(step, store);
  const Tensor good = data();
  program.run({{"x", good}});
  const Store before = store.clone();
  Tensor bad = good.clone();
  bad.data<float>()[5] = std::numeric_limits<float>::infinity();
  const Result result = program.run({{"x", bad}});
  CHECK(result.scalar("finite") == 0);
  for (const auto& [path, cell] : before.cells())
    if (path != "skipped") CHECK(same_bits(cell.tensor, store.tensor(path)));
  CHECK(store.tensor("skipped").item() == 1);
  CHECK(store.updates() == 1);
  CHECK(store.runs() == before.runs() + 1);
}

TEST_CASE("transforms in the wrong order are refused, and the message has the right order", "[core][optim][errors]") {
  Model model;
  const Step done = training_step(model.loss) | optimize(adamw({.rate = 0.01}));
  CHECK_THROWS_WITH(done | clip_global_norm(1.0),
                    ContainsSubstring("clip_global_norm must come before optimize(adamw)") &&
                        ContainsSubstring("the right order: training_step | clip_global_norm | optimize(adamw)"));
  CHECK_THROWS_WITH(done | optimize(adamw({})), ContainsSubstring("already"));
  CHECK_THROWS_WITH(evaluation(model.loss) | clip_global_norm(1.0),
                    ContainsSubstring("clip_global_norm needs 'gradients'"));
}

TEST_CASE("bad settings of an optimizer are refused", "[core][optim][errors]") {
  Model model;
  CHECK_THROWS_WITH(clip_global_norm(-1), ContainsSubstring("needs a positive norm, got -1"));
  CHECK_THROWS_WITH(adamw({.beta1 = 1.0}), ContainsSubstring("betas in [0, 1)"));
  CHECK_THROWS_WITH(adamw({.rate = -0.1}), ContainsSubstring("a learning rate must be finite and not negative"));
  CHECK_THROWS_WITH(warmup_cosine(1e-3, 10, 5), ContainsSubstring("0 <= warmup < total, got warmup 10 and total 5"));
  CHECK_THROWS_WITH(
      training_step(model.loss) | optimize(adamw({.groups = {{.pattern = "decoder/**"}}})),
      ContainsSubstring(
          "the group 'decoder/**' matches no parameter; hint: the first of 2 are layer/weight, layer/bias"));
}

TEST_CASE("a loss that cannot be trained is refused with its line", "[core][optim][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  CHECK_THROWS_WITH(training_step(Loss(x * 2.0)),
                    ContainsSubstring("a loss must be one number") && ContainsSubstring("training_step_test.cpp:"));
  CHECK_THROWS_WITH(training_step(Loss(sum(x))), ContainsSubstring("reaches no parameter"));
  CHECK_THROWS_WITH(training_step(Loss()), ContainsSubstring("there is no loss to train"));
}

TEST_CASE("the audit names the node that lets no gradient through", "[core][optim][audit]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3});
  const Value a = graph.parameter("a", {f32, {3}}, init::ones());
  const Value b = graph.parameter("b", {f32, {3}}, init::ones());
  graph.parameter("unused", {f32, {3}}, init::ones());
  const Value frozen = stop_gradient(b * 2.0);
  const Step step = training_step(Loss(sum(x * a + frozen)));
  const Audit result = audit(step);
  CHECK_FALSE(result.complete());
  CHECK_THAT(result.str(), ContainsSubstring("cut at stop_gradient (training_step_test.cpp:"));
  CHECK_THAT(result.str(), ContainsSubstring("the loss does not use it"));
}

TEST_CASE("the warm-up rises to the peak and the cosine falls to the least rate", "[core][optim][schedule]") {
  const Schedule schedule = warmup_cosine(1.0, 4, 12, 0.1);
  auto rate = [&](std::int64_t t) {
    Graph graph;
    const Value updates = graph.input("t", i64, {});
    const Tensor at = Tensor::scalar<std::int64_t>(t);
    return evaluate(schedule(updates), {{"t", at}}).item();
  };
  CHECK(rate(0) == Approx(0.2));
  CHECK(rate(3) == Approx(0.8));
  CHECK(rate(4) == Approx(1.0));
  CHECK(rate(8) == Approx(0.55));
  CHECK(rate(12) == Approx(0.1));
  CHECK(rate(50) == Approx(0.1));
}

TEST_CASE("groups decide decay and rate, the first match wins", "[core][optim]") {
  Model model;
  const Step step =
      training_step(model.loss) |
      optimize(adamw({.rate = 0.1,
                      .weight_decay = 0.5,
                      .groups = {{.pattern = "**/bias", .rate_factor = 0.0}, {.pattern = "**", .weight_decay = 0.0}}}));
  Store store(model.graph, {.seed = 1});
  store.set("layer/bias", Tensor::of<float>({2}, {3, 4}));
  Program program(step, store);
  const Tensor x = data();
  program.run({{"x", x}});
  CHECK(store.tensor("layer/bias").at(0) == 3);  // rate 0: not even decay
  CHECK(store.has("optimizer/exp_avg/layer/weight"));
}

TEST_CASE("another layer changes no other layer's initial numbers", "[core][optim][store]") {
  Model model;
  const Store before(model.graph, {.seed = 9});
  model.graph.parameter("head/weight", {f32, {7, 7}}, init::normal(0, 1));
  const Store after(model.graph, {.seed = 9});
  CHECK(same_bits(before.tensor("layer/weight"), after.tensor("layer/weight")));
  CHECK_FALSE(same_bits(before.tensor("layer/weight"), Store(model.graph, {.seed = 10}).tensor("layer/weight")));
}

TEST_CASE("an evaluation between two steps changes nothing of the training", "[core][optim][evaluation]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 2), time = graph.dim("time", 8);
  const Value tokens = graph.input("tokens", i64, {batch, time}), targets = graph.input("targets", i64, {batch, time});
  const nn::Gpt model(graph, {.vocab = 11, .layers = 1, .heads = 2, .width = 16, .context = 8, .dropout = 0.2});
  const Loss loss = cross_entropy(model(tokens), targets);
  Tensor x(i64, {2, 8});
  for (std::int64_t i = 0; i < 16; ++i) x.data<std::int64_t>()[i] = i % 11;
  auto train = [&](bool evaluates) {
    Store store(graph, {.seed = 5});
    Program step(default_training_step(loss), store), test(evaluation(loss), store);
    for (int i = 0; i < 3; ++i) {
      step.run({{"tokens", x}, {"targets", x}});
      if (evaluates) test.run({{"tokens", x}, {"targets", x}});
    }
    CHECK(store.runs() == 3);
    return store;
  };
  const Store with = train(true), without = train(false);
  for (const auto& [path, cell] : without.cells()) CHECK(same_bits(cell.tensor, with.tensor(path)));
}

TEST_CASE("evaluation drops dropout, publishes sum and weight, and draws nothing", "[core][optim][evaluation]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 2), 3});
  const Value w = graph.parameter("w", {f32, {3, 5}}, init::normal(0, 1));
  const Value targets = graph.input("targets", i64, {graph.dim("batch", 2)});
  const Loss loss = cross_entropy(dropout(matmul(x, w), 0.5), targets);
  const Step step = evaluation(loss);
  for (NodeId id : step.graph.ids()) CHECK_FALSE(step.graph.node(id).op->traits.random);
  CHECK(step.has_fetch("sum"));
  CHECK(step.has_fetch("weight"));
  CHECK(step.updates.empty());
}
