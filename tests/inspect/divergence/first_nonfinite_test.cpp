#include <weft/inspect/divergence/first_nonfinite.h>
#include <weft/weft.h>

#include <support/catch.h>

#include <cmath>
#include <limits>

using namespace weft;

namespace {

const float infinite = std::numeric_limits<float>::infinity();

struct Model {
  Graph graph;
  Dim batch = graph.dim("batch", 4);
  Value x = graph.input("x", f32, {batch, 3}), w = graph.parameter("w", {f32, {3}}, init::ones());
  static Tensor feed(float first = 1) { return Tensor::of<float>({4, 3}, {first, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}); }
};

}  // namespace

TEST_CASE("a healthy step has no node that is not finite", "[core][optim][first_nonfinite]") {
  Model model;
  const Step step = training_step(Loss(sum(square(model.w * model.x)))) | optimize(adamw());
  const Tensor x = Model::feed();
  CHECK_FALSE(first_nonfinite(step, Store(step), {{"x", x}}).has_value());
}

TEST_CASE("the node in which NaN begins is named with its line and the ranges of its inputs",
          "[core][optim][first_nonfinite]") {
  Model model;
  Value y;
  {
    const auto scope = model.graph.scope("decoder/3");
    y = log(model.w * model.x);
  }
  const Step step = training_step(Loss(sum(tanh(y) * 2.0))) | optimize(sgd());
  const Tensor x = Model::feed(-1);
  Store store(step);
  const auto found = first_nonfinite(step, store, {{"x", x}});
  REQUIRE(found.has_value());
  CHECK(found->path == "decoder/3/log");
  CHECK(found->op == "log");
  CHECK(found->where.starts_with("first_nonfinite_test.cpp:"));
  CHECK(found->nan);
  CHECK(found->pass.empty());
  CHECK(found->reached == "the loss");
  REQUIRE(found->inputs.size() == 1);
  CHECK(found->inputs.front().least == -1);
  CHECK(found->inputs.front().most == 12);
  CHECK(found->inputs.front().nan == 0);
  CHECK(found->output.nan == 1);
  CHECK(found->output.elements == 12);
  CHECK_THAT(found->str(), ContainsSubstring("NaN begins in decoder/3/log [log] (first_nonfinite_test.cpp:") &&
                               ContainsSubstring("gives f32[batch=4, 3]: ") &&
                               ContainsSubstring("reads decoder/3/multiply (first_nonfinite_test.cpp:") &&
                               ContainsSubstring(") f32[batch=4, 3]: -1 to 12"));
  CHECK(store.tensor("w").at(0) == 1);  // the store stays as it is
}

TEST_CASE("a gradient that is not finite while the loss is leads into the backward pass",
          "[core][optim][first_nonfinite]") {
  Model model;
  const Step step = training_step(Loss(sum(sqrt(model.w * model.x))));
  const Tensor x = Model::feed(0);  // sqrt(0) is 0, its slope is infinite, and 0 * infinity is NaN
  const auto found = first_nonfinite(step, Store(step), {{"x", x}});
  REQUIRE(found.has_value());
  CHECK(found->nan);
  CHECK(found->pass == "gradient");
  CHECK(found->reached == "the gradient of w");
  CHECK_THAT(found->str(), ContainsSubstring("an operand is infinite"));
}

TEST_CASE("an overflow is named where it begins, and a mask of -inf is not", "[core][optim][first_nonfinite]") {
  Model model;
  const Tensor x = Model::feed(200);
  const Step large = training_step(Loss(sum(exp(model.w * model.x))));
  const auto found = first_nonfinite(large, Store(large), {{"x", x}});
  REQUIRE(found.has_value());
  CHECK_FALSE(found->nan);
  CHECK(found->path == "exp");
  CHECK(found->output.infinite == 1);

  Model masked;
  const Value scores = where(greater(masked.x, 2.0), masked.w * masked.x, -infinite);
  const Step fine = training_step(Loss(sum(square(softmax(scores, 1)))));
  const Tensor some = Model::feed();
  CHECK_FALSE(first_nonfinite(fine, Store(fine), {{"x", some}}).has_value());
  // A row that is masked whole: 0 / 0.
  const Tensor none = Tensor::of<float>({4, 3}, {0, 0, 0, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const auto row = first_nonfinite(fine, Store(fine), {{"x", none}});
  REQUIRE(row.has_value());
  CHECK(row->op == "softmax");
  CHECK(row->inputs.front().infinite == 3);
}

TEST_CASE("of NaN that comes of an infinity the node where that begins is named too",
          "[core][optim][first_nonfinite]") {
  Model model;
  const Value large = exp(model.w * model.x);
  const Step step = training_step(Loss(sum(large - large)));
  const Tensor x = Model::feed(200);
  const auto found = first_nonfinite(step, Store(step), {{"x", x}});
  REQUIRE(found.has_value());
  CHECK(found->op == "subtract");
  REQUIRE(found->infinity.size() == 1);
  CHECK(found->infinity.front().op == "exp");
  CHECK(found->infinity.front().reached == found->path);
  CHECK_THAT(found->str(), ContainsSubstring("infinity begins in exp [exp] (first_nonfinite_test.cpp:"));
}

TEST_CASE("what a step publishes is followed back as its loss is", "[core][optim][first_nonfinite]") {
  Model model;
  const Value shown = log(model.w * model.x);
  const Step step = training_step(Loss(sum(model.w * model.x))) | fetch("shown", shown);
  const Tensor x = Model::feed(-1);
  CHECK_FALSE(first_nonfinite(step, Store(step), {{"x", x}}).has_value());
  const std::vector<Feed> feeds{{"x", x}};
  const auto found = first_nonfinite(step, {{step.fetch("shown"), "the published shown"}}, Store(step), feeds);
  REQUIRE(found.has_value());
  CHECK(found->op == "log");
  CHECK(found->reached == "the published shown");
}

TEST_CASE("a parameter or an input that holds NaN is the first", "[core][optim][first_nonfinite]") {
  Model model;
  const Step step = training_step(Loss(sum(square(model.w * model.x))));
  Store store(step);
  store.tensor("w").data<float>()[1] = std::nanf("");
  const Tensor x = Model::feed(), bad = Model::feed(std::nanf(""));
  const auto cell = first_nonfinite(step, store, {{"x", x}}), fed = first_nonfinite(step, Store(step), {{"x", bad}});
  CHECK(cell->path == "w");
  CHECK_THAT(cell->str(), ContainsSubstring("hint: the store holds it so: an earlier update wrote it"));
  CHECK(fed->path == "x");
  CHECK_THAT(fed->str(), ContainsSubstring("hint: it is fed so: look at the data"));
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK_THAT(first_nonfinite(training_step(Loss(sum(model.w * model.x + infinity))), Store(step), {{"x", x}})->str(),
             ContainsSubstring("hint: the constant itself is not finite"));
}

TEST_CASE("with micro-batches and a loss scale the node is the same", "[core][optim][first_nonfinite]") {
  Model model;
  const Loss loss = LossTerm{1, sum(log(model.w * model.x)), full(model.graph, {}, f32, 4)};
  const Step step = training_step(loss) | scale_loss(static_scale(16)) | accumulate(2) | optimize(sgd());
  const Tensor x = Model::feed(-1);
  const auto found = first_nonfinite(step, Store(step), {{"x", x}});
  REQUIRE(found.has_value());
  CHECK(found->path == "log");
}

TEST_CASE("what overflows in f16 is named as the cast that made it", "[core][optim][first_nonfinite]") {
  Model model;
  const Step step = training_step(Loss(sum(cast(cast(model.w * model.x * 1e5, f16), f32))));
  const Tensor x = Model::feed();
  const auto found = first_nonfinite(step, Store(step), {{"x", x}});
  REQUIRE(found.has_value());
  CHECK(found->op == "cast");
  CHECK(found->inputs.front().most == Approx(1.2e6));
}
