#include <optim/given_gradients.h>
#include <support/catch.h>

#include <cmath>
#include <limits>

using namespace weft;
using given::Lists, given::Model, given::Runner;

namespace {

// What accumulate does to a step, as far as settling is concerned: gradients of sums, and the weight to divide them by.
Transform leave_weight_out(bool scaled_too = false) {
  return {.name = "leave_weight_out",
          .needs = {"gradients"},
          .promises = {"accumulated"},
          .apply = [scaled_too](Step step) {
            Graph graph = step.graph;
            step.gradient_weight = graph.input("tokens", f64, {});
            for (Gradient& gradient : step.gradients) gradient.tags.weight_normalised = false;
            if (scaled_too) {
              step.loss_scale = LossScale{full(graph, {}, f64, 3), {}, {}};
              for (Gradient& gradient : step.gradients) gradient.tags.scaled = true;
            }
            return step;
          }};
}

std::vector<NodeId> made_by(const Step& step, const std::string& pass, const std::string& op) {
  std::vector<NodeId> found;
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    if (node.provenance.pass == pass && node.op->name == op) found.push_back(id);
  }
  return found;
}

}  // namespace

TEST_CASE("where no tag asks, unscaling multiplies nothing", "[core][optim][unscale_and_check]") {
  Model model;
  const Step before = training_step(model.loss), after = before | fetch_gradients();
  CHECK(made_by(after, "unscale_and_check", "multiply").empty());
  for (const Gradient& gradient : after.gradients) {
    CHECK(gradient.value == after.find(before.gradient_of(gradient.parameter)->value));
    CHECK(gradient.tags.finite_checked);
  }
}

TEST_CASE("a gradient is multiplied once, by the double quotient rounded once", "[core][optim][unscale_and_check]") {
  Model model;
  const Step step = training_step(model.loss) | leave_weight_out(true) | fetch_gradients();
  CHECK(made_by(step, "unscale_and_check", "multiply").size() == 2 + 1);  // the gradients; scale * weight
  CHECK(made_by(step, "unscale_and_check", "divide").size() == 2);        // the factor; whether the weight is 0
  Store store(step);
  Program program(step, store);
  const Lists lists = given::plain();
  const Tensor c0 = given::tensor(f32, {3, 4}, lists[0]), c1 = given::tensor(f32, {5}, lists[1]);
  const Tensor tokens = Tensor::scalar(7.0);
  const Result result = program.run({{"c0", c0}, {"c1", c1}, {"tokens", tokens}});
  const auto factor = static_cast<float>(1.0 / (3.0 * 7.0));
  for (std::int64_t i = 0; i < 12; ++i)
    CHECK(result.tensor("gradient/layer/weight").data<float>()[i] == c0.data<float>()[i] * factor);
}

TEST_CASE("gradients are unscaled once, by the first that reads them", "[core][optim][unscale_and_check]") {
  Model model;
  const Step step = training_step(model.loss) | scale_loss(static_scale(8)) | clip_value(1) | clip_global_norm(1) |
                    fetch_gradients() | optimize(adamw({}));
  CHECK(made_by(step, "unscale_and_check", "multiply").size() == 2);
  CHECK(made_by(step, "unscale_and_check", "sum_squares").size() == 2);
  for (const Gradient& gradient : step.gradients) CHECK_FALSE(gradient.tags.scaled);
}

TEST_CASE("all that unscaling and clipping add runs once a step, and knows its origin",
          "[core][optim][unscale_and_check]") {
  Model model;
  const Step before = training_step(model.loss) | scale_loss(dynamic_scale());
  const Step after =
      before | clip_global_norm(1.0, {.norm_type = 3}) | clip_norm(1.0) | clip_value(1.0) | fetch_gradients();
  std::size_t added = 0;
  for (const NodeId id : after.graph.ids()) {
    if (before.graph.has(id)) continue;
    const Node& node = after.graph.node(id);
    INFO(node.name);
    CHECK(node.phase == Phase::step);
    CHECK_FALSE(node.provenance.pass.empty());
    ++added;
  }
  CHECK(added > 30);
}

TEST_CASE("grad_norm is the 2-norm of all clean gradients, in double", "[core][optim][unscale_and_check]") {
  for (const DType dtype : {f32, f64}) {
    Model model(dtype, true);
    Runner runner(training_step(model.loss) | scale_loss(static_scale(4)) | optimize(given::descent(0)));
    const Result result = runner.run(given::plain(), 4);
    double squares = 0;
    for (const auto& list : given::plain())
      for (const double g : list) squares += (g / 4) * (g / 4);
    CHECK(result.scalar("grad_norm") == Approx(std::sqrt(squares)).epsilon(dtype == f64 ? 1e-14 : 1e-7));
  }
}

TEST_CASE("finite means that every element is, even where its square leaves the range of its type",
          "[core][optim][unscale_and_check]") {
  for (const DType dtype : {f32, f64}) {
    const double large = dtype == f64 ? 1e200 : 1e20;
    Model model(dtype);
    Runner runner(training_step(model.loss) | optimize(given::descent(0)));
    CHECK(runner.run(given::plain_with(0, 5, large)).scalar("finite") == 1);
    if (dtype == f32)
      CHECK(runner.run(given::plain_with(0, 5, large)).scalar("grad_norm") == Approx(1e20).epsilon(1e-6));
    CHECK(runner.store.tensor("skipped").item() == 0);
    for (const double bad : {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN()})
      for (const std::size_t which : {std::size_t{0}, std::size_t{1}})
        CHECK(runner.run(given::plain_with(which, 4, bad)).scalar("finite") == 0);
  }
}

TEST_CASE("an unscale that overflows is found", "[core][optim][unscale_and_check]") {
  Model model;
  const Step step = training_step(model.loss) | leave_weight_out() | optimize(given::descent(0.1));
  Store store(step);
  Program program(step, store);
  const Lists lists = given::plain_with(0, 5, 3e38);
  const Tensor c0 = given::tensor(f32, {3, 4}, lists[0]), c1 = given::tensor(f32, {5}, lists[1]);
  const Tensor one = Tensor::scalar(1.0), half = Tensor::scalar(0.5);
  CHECK(program.run({{"c0", c0}, {"c1", c1}, {"tokens", one}}).scalar("finite") == 1);
  CHECK(program.run({{"c0", c0}, {"c1", c1}, {"tokens", half}}).scalar("finite") == 0);
}

TEST_CASE("a loss whose weight is 0 has no mean: the step is skipped, not NaN", "[core][optim][unscale_and_check]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 4), 3});
  const Value targets = graph.input("targets", i64, {graph.dim("batch", 4)});
  const Value w = graph.parameter("w", {f32, {3, 5}}, init::normal(0, 1));
  Tensor fed(f32, {4, 3});
  for (std::int64_t i = 0; i < 12; ++i)
    fed.data<float>()[i] = static_cast<float>(std::sin(1.0 + static_cast<double>(i)));
  const Tensor some = Tensor::of<std::int64_t>({4}, {1, -100, 2, -100}),
               none = Tensor::of<std::int64_t>({4}, {-100, -100, -100, -100});
  const Step step = training_step(cross_entropy(matmul(x, w), targets)) | scale_loss(dynamic_scale({.start = 64})) |
                    clip_global_norm(1.0) | optimize(adamw({.rate = 0.1, .weight_decay = 0.5}));
  Store store(step);
  Program program(step, store);
  CHECK(program.run({{"x", fed}, {"targets", some}}).scalar("finite") == 1);
  const Store before = store.clone();
  CHECK(program.run({{"x", fed}, {"targets", none}}).scalar("finite") == 0);
  // Neither decay nor momentum moves the weights on a batch that says nothing; nor is the scale to blame, as in
  // torch.amp.GradScaler.
  CHECK(given::changed_cells(before, store) == "skipped");
  CHECK(program.run({{"x", fed}, {"targets", some}}).scalar("finite") == 1);
}

TEST_CASE("gradients of sums are skipped too where the sum of their weights is 0", "[core][optim][unscale_and_check]") {
  Model model;
  const Step step = training_step(model.loss) | leave_weight_out() | optimize(adamw({.rate = 0.1}));
  Store store(step);
  Program program(step, store);
  const Tensor c0(f32, {3, 4}), c1(f32, {5});
  const Tensor none = Tensor::scalar(0.0);
  const Store before = store.clone();
  CHECK(program.run({{"c0", c0}, {"c1", c1}, {"tokens", none}}).scalar("finite") == 0);
  CHECK(given::changed_cells(before, store) == "skipped");
}
