// Accumulation between its neighbours in a step: mixed precision and loss scaling before it, clips, optimizer and
// recomputation after it.
#include <support/catch.h>

#include <weft/weft.h>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace weft;

namespace {

struct Language {
  Graph graph;
  Loss loss;
  Tensor x{i64, {12, 8}}, y{i64, {12, 8}};

  explicit Language(DType dtype = f32, std::int64_t rows = 12) {
    const Dim batch = graph.dim("batch", rows), time = graph.dim("time", 8);
    const Value tokens = graph.input("tokens", i64, {batch, time}),
                targets = graph.input("targets", i64, {batch, time});
    const nn::Gpt model(
        graph, {.vocab = 17, .layers = 2, .heads = 2, .width = 16, .context = 8, .dropout = 0.1, .dtype = dtype});
    loss = cross_entropy(model(tokens), targets);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      x.data<std::int64_t>()[i] = i * 7 % 17;
      y.data<std::int64_t>()[i] = i % 8 > i / 8 % 5 + 2 ? -100 : (i * 7 + 3) % 17;
    }
  }
  std::vector<double> losses(const Step& step, Store& store, int runs = 4) const {
    Program program(step, store);
    check_plan(program.plan());
    std::vector<double> losses;
    for (int i = 0; i < runs; ++i) losses.push_back(program.run({{"tokens", x}, {"targets", y}}).scalar("loss"));
    return losses;
  }
};

}  // namespace

TEST_CASE("the whole chain trains in micro-batches as in one batch", "[optim][accumulate]") {
  const Language model;
  auto chain = [&](std::int64_t k, bool scale_first) {
    Step step = training_step(model.loss) | mixed_precision(bf16);
    step = scale_first ? step | scale_loss(dynamic_scale()) | accumulate(k)
                       : step | accumulate(k) | scale_loss(dynamic_scale());
    return step | clip_value(0.5) | clip_global_norm(1.0) | optimize(adamw({.rate = 1e-2, .eps = 1e-4})) |
           checkpoint(every_block());
  };
  const Step whole = chain(1, true);
  Store first(whole, {.seed = 5});
  const std::vector<double> want = model.losses(whole, first);
  for (const bool scale_first : {true, false})
    for (const std::int64_t k : {2, 6}) {
      const Step step = chain(k, scale_first);
      CHECK(step.micro_batches == k);
      Store store(step, {.seed = 5});
      const std::vector<double> got = model.losses(step, store);
      for (std::size_t i = 0; i < want.size(); ++i) CHECK(got[i] == Approx(want[i]).epsilon(5e-3));
      CHECK(store.updates() == 4);
    }
}

TEST_CASE("recomputing nodes of micro-batches changes no bit", "[core][optim][accumulate]") {
  const Language model;
  const Step step = training_step(model.loss) | accumulate(3) | clip_global_norm(1.0) | optimize(adamw({.rate = 1e-2}));
  Store a(step, {.seed = 5}), b(step, {.seed = 5});
  model.losses(step, a, 2);
  const Step leaner = step | checkpoint(nothing_saveable());
  std::size_t again = 0;
  for (const NodeId id : leaner.graph.ids()) {
    const Node& node = leaner.graph.node(id);
    again += node.provenance.pass == "checkpoint" && node.phase == Phase::micro;
  }
  CHECK(again > 20);
  model.losses(leaner, b, 2);
  for (const auto& [path, cell] : a.cells()) CHECK(same_bits(b.tensor(path), cell.tensor));
}

TEST_CASE("casts of weights are made once for all micro-batches", "[core][optim][accumulate]") {
  const Language model;
  const Step step = training_step(model.loss) | mixed_precision(bf16) | accumulate(4);
  std::size_t casts = 0;
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    if (node.op->traits.source || node.operands.empty() || node.operands[0].node == no_node) continue;
    if (node.types[0].dtype != bf16 || step.graph.node(node.operands[0].node).op->name != "parameter") continue;
    CHECK(node.phase == Phase::step);
    ++casts;
  }
  CHECK(casts > 10);
  for (const Gradient& gradient : step.gradients) CHECK(gradient.value.dtype() == f32);
}

TEST_CASE("a scaled loss in micro-batches is the scaled loss of the whole batch", "[core][optim][accumulate]") {
  const Language model(f64);
  auto trained = [](const Step& step) { return step | clip_global_norm(1.0) | optimize(adamw({.rate = 1e-2})); };
  const Step plain = training_step(model.loss);
  const Step whole = trained(plain | scale_loss(dynamic_scale({.window = 2})));
  Store want(whole, {.seed = 5});
  model.losses(whole, want);
  for (const Step& step : {trained(plain | scale_loss(dynamic_scale({.window = 2})) | accumulate(3)),
                           trained(plain | accumulate(3) | scale_loss(dynamic_scale({.window = 2})))}) {
    Store got(step, {.seed = 5});
    model.losses(step, got);
    CHECK(got.tensor("loss_scale").item() == 4096);  // 1024, grown twice
    for (const auto& [path, cell] : want.cells()) {
      if (path.ends_with("key/bias")) continue;  // its gradient is rounding
      double worst = 0, scale = 1e-30;
      for (std::int64_t i = 0; i < cell.tensor.size(); ++i) {
        scale = std::max(scale, std::abs(cell.tensor.at(i)));
        worst = std::max(worst, std::abs(got.tensor(path).at(i) - cell.tensor.at(i)));
      }
      INFO(path);
      CHECK(worst <= 1e-12 * scale);
    }
  }
}

TEST_CASE("over runs the loss scale stays until they are complete, and one bad run halves it once",
          "[core][optim][accumulate]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 4), 3});
  const Value w = graph.parameter("w", {f32, {3, 2}}, init::ones());
  const Value y = matmul(x, w);
  const Step base = training_step(LossTerm{1, sum(y * y), sum(abs(x))});
  const bool first = GENERATE(true, false);
  const Transform scaled = scale_loss(dynamic_scale({.window = 1}));
  const Step step =
      (first ? base | scaled | accumulate_over_runs(3) : base | accumulate_over_runs(3) | scaled) | optimize(adamw({}));
  Store store(step);
  Program program(step, store);
  Tensor good(f32, {4, 3}), bad(f32, {4, 3});
  for (std::int64_t i = 0; i < 12; ++i) good.data<float>()[i] = bad.data<float>()[i] = static_cast<float>(i % 5) * 0.1F;
  bad.data<float>()[4] = std::numeric_limits<float>::infinity();
  const double expected[] = {1024, 1024, 2048, 2048, 2048, 1024, 1024, 1024, 2048};
  for (int run = 0; run < 9; ++run) {
    program.run({{"x", run == 3 ? bad : good}});
    INFO("run " << run);
    CHECK(store.tensor("loss_scale").item() == expected[run]);
    CHECK(store.updates() == (run < 2 ? 0 : run < 8 ? 1 : 2));
    CHECK(store.tensor("skipped").item() == (run < 5 ? 0 : 1));
  }
}

TEST_CASE("a run without a weight is no reason to skip the runs around it", "[core][optim][accumulate]") {
  Graph graph;
  const Value x = graph.input("x", f64, {graph.dim("batch", 4), 3}),
              counts = graph.input("counts", f64, {graph.dim("batch", 4), 1});
  const Value w = graph.parameter("w", {f64, {3, 2}}, init::ones());
  const Value y = matmul(x, w);
  for (const bool two : {false, true}) {
    Loss loss = LossTerm{1, sum(y * y * counts), sum(counts)};
    if (two) loss = loss + Loss(LossTerm{0.5, sum(abs(y)), sum(abs(x))});
    const Step step = training_step(loss) | accumulate_over_runs(2) | optimize(adamw({}));
    Store store(step);
    Program program(step, store);
    Tensor data(f64, {4, 3}), all(f64, {4, 1}), none(f64, {4, 1});
    std::fill_n(data.data<double>(), 12, 0.5);
    std::fill_n(all.data<double>(), 4, 1.0);
    program.run({{"x", data}, {"counts", all}});
    program.run({{"x", data}, {"counts", none}});
    CHECK(store.updates() == 1);
    program.run({{"x", data}, {"counts", none}});
    program.run({{"x", data}, {"counts", none}});
    CHECK(store.updates() == 1);
    CHECK(store.tensor("skipped").item() == 1);
  }
}
