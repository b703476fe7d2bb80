// k runs with one update against one run over their batches put one after the other.
#include <support/catch.h>
#include <support/temporary_folder.h>

#include <weft/weft.h>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace weft;

namespace {

double difference(const Tensor& got, const Tensor& want) {
  REQUIRE(got.extents() == want.extents());
  double worst = 0, scale = 1e-30;
  for (std::int64_t i = 0; i < want.size(); ++i) {
    scale = std::max(scale, std::abs(want.at(i)));
    worst = std::max(worst, std::abs(got.at(i) - want.at(i)));
  }
  CHECK_FALSE(std::isnan(worst / scale));
  return worst / scale;
}

// A classifier with padding, an L2 term, and (with `two`) a second loss of another weight.
struct Model {
  Graph graph;
  Loss loss;

  explicit Model(std::int64_t n, bool two = true) {
    const Dim batch = graph.dim("batch", n);
    const Value x = graph.input("x", f64, {batch, 5}), y = graph.input("y", i64, {batch});
    const Value w = graph.parameter("w", {f64, {7, 5}}, init::normal(0, 1)),
                b = graph.parameter("b", {f64, {7}}, init::normal(0, 1));
    const Value h = linear(x, w, b);
    loss = cross_entropy(h, y);
    if (two) loss = loss + 0.3 * Loss(LossTerm{1, sum(h * h), sum(abs(x))}) + Loss(LossTerm{0.01, sum(w * w), {}});
  }
};

struct Data {
  Tensor x{f64, {12, 5}}, y{i64, {12}};
  explicit Data(int shift) {
    for (std::int64_t i = 0; i < 60; ++i) x.data<double>()[i] = std::sin(1.3 * static_cast<double>(i + 60 * shift));
    for (std::int64_t i = 0; i < 12; ++i)
      y.data<std::int64_t>()[i] = i % 4 == shift % 4 || i == 5 ? -100 : (i * 3 + shift) % 7;
  }
};

Step trained(const Step& step) {
  return step | clip_global_norm(0.7) | optimize(adamw({.rate = warmup_cosine(0.1, 1, 9)}));
}

}  // namespace

TEST_CASE("k runs and one update equal one run over the k batches, in f64 to 1e-12", "[core][optim][accumulate]") {
  const bool two = GENERATE(false, true);
  const Model whole(12, two), part(4, two);
  const Step one = trained(training_step(whole.loss)),
             three = trained(training_step(part.loss) | accumulate_over_runs(3));
  Store a(one, {.seed = 3}), b(three, {.seed = 3});
  Program all(one, a), parts(three, b);
  check_plan(parts.plan());
  for (int step = 0; step < 3; ++step) {
    const Data data(step);
    const Result want = all.run({{"x", data.x}, {"y", data.y}});
    for (std::int64_t i = 0; i < 3; ++i) {
      const Store before = b.clone();
      const Tensor x = data.x.rows(4 * i, 4 * i + 4), y = data.y.rows(4 * i, 4 * i + 4);
      const Result got = parts.run({{"x", x}, {"y", y}});
      if (i < 2)  // nothing but the sums changes
        for (const auto& [path, cell] : before.cells())
          if (!path.starts_with("accumulate/")) CHECK(same_bits(b.tensor(path), cell.tensor));
      if (i == 2) CHECK(got.scalar("grad_norm") == Approx(want.scalar("grad_norm")).epsilon(1e-12));
    }
    for (const auto& [path, cell] : a.cells()) {
      INFO(path << " after " << step);
      CHECK(difference(b.tensor(path), cell.tensor) <= 1e-12);
    }
  }
  CHECK(b.updates() == 3);
  CHECK(b.runs() == 9);
}

TEST_CASE("the loss that a run publishes is its own", "[core][optim][accumulate]") {
  const Model part(4);
  const Step plain = training_step(part.loss), step = trained(plain | accumulate_over_runs(3));
  Store a(plain, {.seed = 3}), b(step, {.seed = 3});
  Program alone(plain, a), summing(step, b);
  const Data data(0);
  for (std::int64_t i = 0; i < 2; ++i) {  // before the first update
    const Tensor x = data.x.rows(4 * i, 4 * i + 4), y = data.y.rows(4 * i, 4 * i + 4);
    const Result want = alone.run({{"x", x}, {"y", y}}), got = summing.run({{"x", x}, {"y", y}});
    CHECK(got.scalar("loss") == want.scalar("loss"));
    CHECK(got.scalar("tokens") == want.scalar("tokens"));
  }
}

TEST_CASE("an accumulation that was saved in its middle goes on to the same bits", "[core][optim][accumulate]") {
  const Model part(4);
  const Step step = trained(training_step(part.loss) | accumulate_over_runs(3));
  const test::TemporaryFolder folder;
  auto run = [&](Store& store, int from, int to) {
    Program program(step, store);
    for (int i = from; i < to; ++i) {
      const Data data(i / 3);
      const Tensor x = data.x.rows(4 * (i % 3), 4 * (i % 3) + 4), y = data.y.rows(4 * (i % 3), 4 * (i % 3) + 4);
      program.run({{"x", x}, {"y", y}});
    }
  };
  Store straight(step, {.seed = 3}), first(step, {.seed = 3}), second(step, {.seed = 8});
  run(straight, 0, 9);
  run(first, 0, 5);
  save_run(folder / "run", first);
  load_run(folder / "run", second);
  run(second, 5, 9);
  for (const auto& [path, cell] : straight.cells()) CHECK(same_bits(second.tensor(path), cell.tensor));
}

TEST_CASE("sums that are not finite are judged at the last run, skipped once, and forgotten",
          "[core][optim][accumulate]") {
  const Model part(4, false);
  const Step step = trained(training_step(part.loss) | accumulate_over_runs(3));
  Store store(step, {.seed = 3}), clean(step, {.seed = 3});
  Program program(step, store), other(step, clean);
  auto run = [](Program& target, const Data& data, std::int64_t i, bool poison) {
    Tensor x = data.x.rows(4 * i, 4 * i + 4).clone();
    const Tensor y = data.y.rows(4 * i, 4 * i + 4);
    if (poison) x.data<double>()[7] = std::numeric_limits<double>::infinity();
    target.run({{"x", x}, {"y", y}});
  };
  const Store before = store.clone();
  for (std::int64_t i = 0; i < 3; ++i) {
    run(program, Data(0), i, i == 1);
    CHECK(store.tensor("skipped").item() == (i == 2 ? 1 : 0));
    CHECK(store.updates() == 0);
  }
  for (const auto& [path, cell] : before.cells())
    if (!path.starts_with("accumulate/") && path != "skipped") CHECK(same_bits(store.tensor(path), cell.tensor));
  for (std::int64_t i = 0; i < 3; ++i) {  // the next accumulation knows nothing of it
    run(program, Data(1), i, false);
    run(other, Data(1), i, false);
  }
  CHECK(same_bits(store.tensor("w"), clean.tensor("w")));
  CHECK(store.updates() == 1);
  CHECK(store.tensor("skipped").item() == 1);
}

TEST_CASE("sums lie in the store and are overwritten in place", "[core][optim][accumulate]") {
  const Model part(4);
  const Step step = trained(training_step(part.loss) | accumulate_over_runs(3));
  const Plan made = plan(step);
  for (const Update& copied : made.copies) CHECK_FALSE(copied.state.node().name.starts_with("accumulate/sum"));
  Store store(step);
  CHECK(store.match("accumulate/sum/**").size() == 4);  // w and b, for each of two weights
  CHECK(store.tensor("accumulate/weight/1").dtype() == f64);
  CHECK(store.tensor("accumulate/runs").dtype() == i64);
  CHECK(step.applied[1].claim == Claim::changes_meaning);
}

TEST_CASE("one run for each update is training as it was", "[core][optim][accumulate]") {
  const Model whole(12);
  const Step plain = trained(training_step(whole.loss)),
             one = trained(training_step(whole.loss) | accumulate_over_runs(1));
  Store a(plain, {.seed = 3}), b(one, {.seed = 3});
  Program first(plain, a), second(one, b);
  for (int i = 0; i < 2; ++i) {
    const Data data(i);
    first.run({{"x", data.x}, {"y", data.y}});
    second.run({{"x", data.x}, {"y", data.y}});
  }
  for (const auto& [path, cell] : a.cells()) CHECK(difference(b.tensor(path), cell.tensor) <= 1e-12);
}
