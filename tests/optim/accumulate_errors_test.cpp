// What cannot be cut into micro-batches is refused, with the node and the user's line.
#include <support/catch.h>

#include <weft/weft.h>

using namespace weft;

namespace {

struct Model {
  Graph graph;
  Dim batch = graph.dim("batch", 12);
  Value x = graph.input("x", f32, {batch, 4}), w = graph.parameter("w", {f32, {4, 2}}, init::normal(0, 1)),
        h = matmul(x, w);
};

std::string line(unsigned number) { return fmt::format("(accumulate_errors_test.cpp:{})", number); }

}  // namespace

TEST_CASE("k must be positive and divide a batch that has a name", "[core][optim][errors]") {
  const Model model;
  const Step step = training_step(LossTerm{1, sum(model.h), sum(model.x)});
  CHECK_THROWS_WITH(accumulate(0), ContainsSubstring("accumulate_errors_test.cpp:") &&
                                       ContainsSubstring(": accumulate needs at least one micro-batch, got 0"));
  CHECK_THROWS_WITH(accumulate_over_runs(-2), ContainsSubstring("needs at least one run, got -2"));
  const Transform five = accumulate(5);
  const unsigned called = __LINE__ - 1;  // the line of the call, not of the chain
  CHECK_THROWS_WITH(step | five,
                    StartsWith(fmt::format("accumulate_errors_test.cpp:{}: accumulate(5): 5 micro-batches do "
                                           "not divide the batch of 12; hint: take a divisor of the batch",
                                           called)));
  Graph graph;
  const Value w = graph.parameter("w", {f32, {3}}, init::ones());
  const Step nameless = training_step(LossTerm{1, sum(graph.input("x", f32, {12, 3}) * w), {}});
  for (const Transform& transform : {accumulate(3), accumulate_over_runs(3)})
    CHECK_THROWS_WITH(nameless | transform,
                      ContainsSubstring("no extent of this graph is named 'batch'; hint: declare the batch as "
                                        "graph.dim(\"batch\", n)"));
  CHECK_NOTHROW(nameless | accumulate(1));
}

TEST_CASE("a loss that is no sum over weight is refused by name and line", "[core][optim][errors]") {
  for (const bool runs : {false, true}) {
    const Model model;
    const Transform transform = runs ? accumulate_over_runs(3) : accumulate(3);
    const unsigned applied = __LINE__ - 1;
    const Value average = mean(model.h);
    const unsigned at = __LINE__ - 1;
    CHECK_THROWS_AS(training_step(average) | transform, UserError);
    CHECK_THROWS_WITH(
        training_step(average) | transform,
        ContainsSubstring(
            fmt::format("the loss term mean {} is no sum over the examples: mean {}: [mean] mixes the examples of "
                        "the batch (matmul is split at axis 0",
                        line(at), line(at))) &&
            ContainsSubstring("hint: give the loss as a sum over the examples and a weight") &&
            ContainsSubstring(fmt::format("accumulate_errors_test.cpp:{}: {}: ", applied, transform.name)));
    const Value quotient = sum(model.h) / sum(model.x);
    const unsigned quotient_at = __LINE__ - 1;
    CHECK_THROWS_WITH(training_step(quotient) | transform,
                      ContainsSubstring(fmt::format(
                          "the loss term divide {} depends on the batch and is no sum over the examples: [divide] "
                          "gives mixed",
                          line(quotient_at))));
    const Step bad_weight = training_step(LossTerm{1, sum(model.h), max(model.x)});
    CHECK_THROWS_WITH(bad_weight | transform, ContainsSubstring("the weight max (") &&
                                                  ContainsSubstring("of the loss term sum") &&
                                                  ContainsSubstring("[max] mixes the examples"));
  }
}

TEST_CASE("a norm over the batch that goes back into the forward pass is refused by its line",
          "[core][optim][errors]") {
  const Model model;
  const Value norm = sqrt(sum(model.h * model.h));
  const unsigned of_norm = __LINE__ - 1;
  const Value y = model.h / norm;
  const unsigned of_y = __LINE__ - 1;
  const Step step = training_step(LossTerm{1, sum(y * y), sum(model.x)});
  CHECK_THROWS_WITH(step | accumulate(3),
                    ContainsSubstring(fmt::format(
                        "divide {}: [divide] reads sqrt {} for each example, and all examples together decide that",
                        line(of_y), line(of_norm))) &&
                        ContainsSubstring("hint: keep the examples apart"));
}

TEST_CASE("a fetch, an update or a gradient in which examples meet is refused; what nobody needs is not",
          "[core][optim][errors]") {
  Model model;
  const Value weight = sum(model.x), largest = max(model.h);
  const unsigned at = __LINE__ - 1;
  const Step step = training_step(LossTerm{1, sum(model.h), weight});
  CHECK_NOTHROW(step | accumulate(3));
  CHECK_THROWS_WITH(step | fetch("largest", largest) | accumulate(3),
                    ContainsSubstring(fmt::format(
                        "max {}: [max] mixes the examples of the batch (matmul is split at axis 0", line(at))) &&
                        ContainsSubstring("the fetch 'largest' depends on it"));
  CHECK_THROWS_WITH(step | accumulate(3) | fetch("largest", largest),
                    ContainsSubstring(fmt::format(
                        "max {} has no value in a step of 3 micro-batches: max {}: [max] mixes", line(at), line(at))) &&
                        ContainsSubstring("hint: fetch sums over the examples and their weights"));
  const Value state = model.graph.state("peak", {f32, {}}, init::zeros());
  model.graph.update(state, largest * 2.0);
  CHECK_THROWS_WITH(training_step(LossTerm{1, sum(model.h), weight}) | accumulate(3),
                    ContainsSubstring("the update of 'peak' depends on it"));
  const Step through = training_step(LossTerm{1, sum(model.h * softmax(model.h, 0)), weight});
  CHECK_THROWS_WITH(through | accumulate(3), ContainsSubstring("[softmax] mixes the examples"));
  CHECK_THROWS_WITH(through | accumulate_over_runs(3), ContainsSubstring("[softmax] mixes the examples"));
}

TEST_CASE("an extent given as a number that only equals the batch is refused with the cure", "[core][optim][errors]") {
  const Model model;
  const Value y = reshape(model.h, {12, 1, 2});
  const unsigned at = __LINE__ - 1;
  const Step step = training_step(LossTerm{1, sum(y), sum(model.x)});
  CHECK_THROWS_WITH(step | accumulate(3),
                    ContainsSubstring(fmt::format("reshape {}", line(at))) &&
                        ContainsSubstring("(at the 4 examples of a micro-batch); the loss depends on it") &&
                        ContainsSubstring("reshape to the Dim, not to a number"));
  CHECK_THROWS_WITH(step | accumulate_over_runs(3), ContainsSubstring(fmt::format("reshape {}", line(at))) &&
                                                        ContainsSubstring("reshape to the Dim, not to a number"));
  // A branch that nobody needs does not matter.
  const Step unused = training_step(LossTerm{1, sum(model.h), sum(model.x)});
  CHECK_NOTHROW(unused | accumulate(3));
  CHECK_THROWS_WITH(unused | fetch("y", y) | accumulate(3), ContainsSubstring("the fetch 'y' depends on it"));
}

TEST_CASE("a mask that a micro-batch cannot draw alike is refused", "[core][optim][errors]") {
  const Model model;
  const Value y = dropout(transpose(model.h, {1, 0}), 0.5);
  const unsigned at = __LINE__ - 1;
  const Step step = training_step(LossTerm{1, sum(y), sum(model.x)});
  CHECK_THROWS_WITH(step | accumulate(3), ContainsSubstring(fmt::format(
                                              "dropout {}: [dropout] draws by the row of the whole batch, so the batch "
                                              "must be the first axis",
                                              line(at))));
}

TEST_CASE("an error of a run says in which micro-batch it was", "[core][optim][errors]") {
  Model model;
  const Value targets = model.graph.input("targets", i64, {model.batch});
  const Step step = training_step(cross_entropy(model.h, targets)) | accumulate(3);
  Store store(step);
  Program program(step, store);
  const Tensor x(f32, {12, 4});
  Tensor y(i64, {12});
  y.data<std::int64_t>()[9] = 2;  // there are two classes
  CHECK_THROWS_WITH(program.run({{"x", x}, {"targets", y}}),
                    ContainsSubstring("[cross_entropy]") && ContainsSubstring("(in micro-batch 3 of 3)"));
}

TEST_CASE("accumulation comes after the gradients and before what unscales them, once", "[core][optim][errors]") {
  const Model model;
  const Step step = training_step(LossTerm{1, sum(model.h), sum(model.x)});
  for (const Transform& transform : {accumulate(3), accumulate_over_runs(3)}) {
    CHECK_THROWS_WITH(step | clip_global_norm(1.0) | transform,
                      ContainsSubstring(transform.name + " must come before clip_global_norm") &&
                          ContainsSubstring("training_step | " + transform.name + " | clip_global_norm"));
    CHECK_THROWS_WITH(step | optimize(adamw({})) | transform,
                      ContainsSubstring(transform.name + " must come before optimize(adamw)"));
    CHECK_THROWS_AS(step | accumulate(2) | transform, UserError);
    CHECK_THROWS_WITH(evaluation(LossTerm{1, sum(model.h), sum(model.x)}) | transform,
                      ContainsSubstring("needs 'gradients'"));
  }
}
