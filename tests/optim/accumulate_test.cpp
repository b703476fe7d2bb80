// accumulate(k) against the whole batch: the same numbers from less memory.
#include <support/catch.h>

#include <weft/weft.h>

#include <algorithm>
#include <cmath>
#include <map>

using namespace weft;

namespace {

// Largest difference over the largest element.
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

struct Batch {
  Tensor x, y;
  std::vector<Feed> feeds() const { return {{"tokens", x}, {"targets", y}}; }
};

// Token ids; rows lose other numbers of targets to padding, one loses all.
Batch tokens(std::int64_t rows, std::int64_t time, std::int64_t run) {
  Batch batch{Tensor(i64, {rows, time}), Tensor(i64, {rows, time})};
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < time; ++j) {
      const std::int64_t at = i * time + j;
      batch.x.data<std::int64_t>()[at] = (at * 7 + run * 3) % 13;
      batch.y.data<std::int64_t>()[at] = j >= (i * 5 + run) % (time + 1) ? -100 : (at * 5 + run + 1) % 13;
    }
  return batch;
}

struct Language {
  Graph graph;
  Value tokens, targets, logits;
  Loss loss;

  explicit Language(DType dtype, std::int64_t batch = 12, double dropout = 0.1, std::int64_t width = 16,
                    std::int64_t time = 6) {
    tokens = graph.input("tokens", i64, {graph.dim("batch", batch), graph.dim("time", time)});
    targets = graph.input("targets", i64, {graph.dim("batch", batch), graph.dim("time", time)});
    const nn::Gpt model(
        graph,
        {.vocab = 13, .layers = 2, .heads = 2, .width = width, .context = 8, .dropout = dropout, .dtype = dtype});
    logits = model(tokens);
    loss = cross_entropy(logits, targets);
  }
};

// What runs published, run by run, and the store they left.
struct Trace {
  std::map<std::string, std::vector<Tensor>> fetched;
  std::map<std::string, Tensor> cells;
};

Trace trace(const Step& step, const std::vector<Batch>& batches, int threads = 0) {
  Store store(step, {.seed = 11});
  Program program(step, store, {.threads = threads});
  check_plan(program.plan());
  Trace made;
  for (const Batch& batch : batches) {
    const Result result = program.run(batch.feeds());
    for (const Fetch& fetch : step.fetches) made.fetched[fetch.name].push_back(result.tensor(fetch.name).clone());
  }
  for (const auto& [path, cell] : store.cells()) made.cells.emplace(path, cell.tensor.clone());
  return made;
}

void compare(const Trace& got, const Trace& want, double most) {
  for (const auto& [name, runs] : want.fetched)
    for (std::size_t i = 0; i < runs.size(); ++i) {
      INFO("fetch " << name << " of run " << i);
      CHECK(difference(got.fetched.at(name).at(i), runs[i]) <= most);
    }
  for (const auto& [path, cell] : want.cells) {
    // A bias of the keys shifts all scores of a query alike: its gradient is 0, and what is left of it is rounding.
    if (path.ends_with("key/bias")) continue;
    INFO("cell " << path);
    CHECK(difference(got.cells.at(path), cell) <= most);
  }
}

Step clipped_and_updated(const Step& step, double eps = 1e-8) {
  return step | clip_global_norm(0.5) | optimize(adamw({.rate = warmup_cosine(1e-2, 2, 20), .eps = eps}));
}

std::vector<Batch> three_batches(std::int64_t rows = 12) {
  return {tokens(rows, 6, 0), tokens(rows, 6, 1), tokens(rows, 6, 2)};
}

// A regression whose graph a test goes on building.
struct Regression {
  Graph graph;
  Dim batch = graph.dim("batch", 12);
  Value x, y, w, h;

  Regression() {
    x = graph.input("x", f64, {batch, 3});
    y = graph.input("y", f64, {batch, 2});
    w = graph.parameter("w", {f64, {3, 2}}, init::normal(0, 1));
    h = matmul(x, w);
  }
  Tensor values(std::int64_t columns) const {
    Tensor tensor(f64, {12, columns});
    for (std::int64_t i = 0; i < tensor.size(); ++i)
      tensor.data<double>()[i] = std::sin(1.7 * static_cast<double>(i + columns));
    return tensor;
  }
  // Both steps from equal stores, three runs: fetches and cells agree.
  void expect_equal(const Step& whole, const Step& cut, double most = 1e-12) const {
    const Tensor a = values(3), b = values(2);
    Store one(whole, {.seed = 2}), other(cut, {.seed = 2});
    Program first(whole, one), second(cut, other);
    check_plan(second.plan());
    for (int run = 0; run < 3; ++run) {
      const Result want = first.run({{"x", a}, {"y", b}}), got = second.run({{"x", a}, {"y", b}});
      for (const Fetch& fetch : whole.fetches) {
        INFO("fetch " << fetch.name << " of run " << run);
        CHECK(difference(got.tensor(fetch.name), want.tensor(fetch.name)) <= most);
      }
    }
    for (const auto& [path, cell] : one.cells()) {
      INFO("cell " << path);
      CHECK(difference(other.tensor(path), cell.tensor) <= most);
    }
  }
};

}  // namespace

TEST_CASE("k micro-batches train a GPT as the whole batch does, with dropout and uneven padding, in f64 to 1e-12",
          "[core][optim][accumulate]") {
  const Language model(f64);
  const Step plain = training_step(model.loss);
  const Trace whole = trace(clipped_and_updated(plain), three_batches());
  for (const std::int64_t k : {2, 3, 4, 6, 12}) {
    INFO("k = " << k);
    const Step cut = clipped_and_updated(plain | accumulate(k));
    CHECK(cut.micro_batches == k);
    compare(trace(cut, three_batches()), whole, 1e-12);
  }
}

TEST_CASE("k micro-batches train a GPT as the whole batch does, in f32 to its rounding", "[optim][accumulate]") {
  const Language model(f32);
  const Step plain = training_step(model.loss);
  const Trace whole = trace(clipped_and_updated(plain, 1e-3), three_batches());
  for (const std::int64_t k : {2, 3, 4, 6, 12}) {
    INFO("k = " << k);
    compare(trace(clipped_and_updated(plain | accumulate(k), 1e-3), three_batches()), whole, 2e-5);
  }
}

TEST_CASE("micro-batches give the same bits for any number of threads", "[core][optim][accumulate]") {
  const Language model(f32);
  const Step step = clipped_and_updated(training_step(model.loss) | accumulate(3));
  const Trace one = trace(step, three_batches(), 1);
  for (const int threads : {2, 3}) {
    const Trace several = trace(step, three_batches(), threads);
    for (const auto& [path, cell] : one.cells) CHECK(same_bits(several.cells.at(path), cell));
    for (const auto& [name, runs] : one.fetched)
      for (std::size_t i = 0; i < runs.size(); ++i) CHECK(same_bits(several.fetched.at(name)[i], runs[i]));
  }
}

TEST_CASE("the memory of a step falls with the number of its micro-batches", "[core][optim][accumulate]") {
  const Language model(f32, 12, 0.1, 32, 8);
  std::size_t last = plan(clipped_and_updated(training_step(model.loss))).total_bytes();
  for (const std::int64_t k : {2, 4, 12}) {
    const Plan made = plan(clipped_and_updated(training_step(model.loss) | accumulate(k)));
    CHECK(made.total_bytes() < last);
    last = made.total_bytes();
    CHECK_THAT(made.str(), ContainsSubstring(fmt::format("for each of {} micro-batches", k)));
  }
}

TEST_CASE("one micro-batch leaves a step as it is", "[core][optim][accumulate]") {
  const Language model(f32);
  const Step plain = training_step(model.loss), one = plain | accumulate(1);
  CHECK(one.micro_batches == 1);
  CHECK(one.facts.contains("accumulated"));
  CHECK(one.graph.size() == plain.graph.size());
  CHECK(one.gradients.front().tags.weight_normalised);
}

TEST_CASE("gradients are sums that are not divided yet, and the weight is the whole batch's",
          "[core][optim][accumulate]") {
  const Language model(f32);
  const Step step = training_step(model.loss) | accumulate(4);
  for (const Gradient& gradient : step.gradients) CHECK_FALSE(gradient.tags.weight_normalised);
  CHECK(step.gradient_weight.valid());
  const Batch batch = tokens(12, 6, 0);
  double count = 0;
  for (std::int64_t i = 0; i < batch.y.size(); ++i) count += batch.y.at(i) >= 0 ? 1 : 0;
  Step fetched = step;
  fetched.set_fetch("weight", step.gradient_weight);
  Store store(step);
  Program program(fetched, store);
  const Result result = program.run(batch.feeds());
  CHECK(result.scalar("weight") == count);
  CHECK(result.scalar("tokens") == count);
}

TEST_CASE("a micro-batch without a token that counts adds nothing; a batch without one is skipped",
          "[core][optim][accumulate]") {
  const Language model(f64);
  Batch batch = tokens(12, 6, 0);
  std::fill_n(batch.y.data<std::int64_t>() + 4 * 6, 4 * 6, -100);  // the second of three
  const Step plain = training_step(model.loss);
  compare(trace(clipped_and_updated(plain | accumulate(3)), {batch}), trace(clipped_and_updated(plain), {batch}),
          1e-12);

  std::fill_n(batch.y.data<std::int64_t>(), batch.y.size(), -100);
  const Step step = clipped_and_updated(plain | accumulate(3));
  Store store(step, {.seed = 11});
  const Store before = store.clone();
  Program program(step, store);
  CHECK(program.run(batch.feeds()).scalar("finite") == 0);
  for (const auto& [path, cell] : before.cells())
    if (path != "skipped") CHECK(same_bits(store.tensor(path), cell.tensor));
}

TEST_CASE("what is free of the batch is computed once, before the micro-batches", "[core][optim][accumulate]") {
  Regression model;
  const Value narrow = cast(model.w, f32);
  const Value loss = sum(matmul(cast(model.x, f32), dropout(narrow, 0.5)));  // one mask for all
  const Step plain = training_step(LossTerm{1, loss, sum(cast(model.y * 0.0 + 1.0, f32))});
  const Step cut = plain | accumulate(4);
  CHECK(cut.find(narrow).node().phase == Phase::step);
  const Plan made = plan(cut | optimize(adamw({})), {.lowering = {.disabled = {"row_regions"}}});  // narrow as a node
  const auto at = std::ranges::find(made.schedule, cut.find(narrow).ref().node) - made.schedule.begin();
  CHECK(static_cast<std::size_t>(at) < made.micro_begin);
  model.expect_equal(plain | optimize(adamw({})), cut | optimize(adamw({})), 1e-6);
}

TEST_CASE("terms with weights of their own, without one, and free of the batch have accumulators of their own",
          "[core][optim][accumulate]") {
  Regression model;
  const Value b = model.graph.parameter("b", {f64, {2}}, init::ones());
  const Value unused = model.graph.parameter("c", {f64, {2}}, init::ones());
  const Value error = model.h + b - model.y, size = abs(model.h);
  const Value positive = cast(greater(model.y, 0.0), f64);
  const Loss first = LossTerm{0.7, sum(error * error * positive), sum(positive)};
  const Loss second = LossTerm{0.3, sum(size), sum(model.x * model.x)};
  const Loss plain_sum = LossTerm{0.01, sum(exp(model.h * 0.1)), {}};
  const Loss fixed_weight = LossTerm{0.1, sum(tanh(model.h)), full(model.graph, {}, f64, 24)};
  const Loss decay = LossTerm{0.05, sum(model.w * model.w) + sum(unused * unused), {}};
  const Loss decay_by_weight = LossTerm{2, sum(b * b), sum(positive)};
  const auto trained = [](const Step& step) { return step | clip_global_norm(0.8) | optimize(adamw({.rate = 0.1})); };
  for (const Loss& loss :
       {first + second, first + decay, first + plain_sum, second + fixed_weight, first + second + decay + plain_sum,
        first + second + decay + plain_sum + fixed_weight + decay_by_weight, decay + plain_sum,
        fixed_weight + plain_sum}) {
    const Step plain = training_step(loss);
    for (const std::int64_t k : {2, 3, 12}) {
      const Step cut = plain | accumulate(k);
      CHECK(cut.gradients.size() == plain.gradients.size());
      model.expect_equal(trained(plain), trained(cut));
    }
  }
  // Several weights leave nothing to divide later.
  CHECK((training_step(first + second) | accumulate(2)).gradients.front().tags.weight_normalised);
  CHECK((training_step(first + second) | accumulate(2)).gradient_weight.absent());
}

TEST_CASE("terms over one weight share a backward pass", "[core][optim][accumulate]") {
  Regression model;
  const Value weight = sum(abs(model.y));
  const Loss loss =
      Loss(LossTerm{1, sum(model.h * model.h), weight}) + 0.5 * Loss(LossTerm{1, sum(abs(model.h)), weight});
  const Step plain = training_step(loss), cut = plain | accumulate(3);
  CHECK(cut.gradient_weight.valid());
  std::size_t sums = 0;
  for (const NodeId id : cut.graph.ids())
    sums += cut.graph.node(id).op->name == "matmul" && cut.graph.node(id).phase == Phase::micro;
  CHECK(sums == 2);  // forward, and d_w
  model.expect_equal(plain | optimize(adamw({})), cut | optimize(adamw({})));
}

TEST_CASE("states that the forward pass updates end as with the whole batch", "[core][optim][accumulate]") {
  Regression model;
  Graph graph = model.graph;
  const Value count = graph.state("count", {f64, {}}, init::zeros()),
              runs = graph.state("runs_seen", {i64, {}}, init::zeros());
  const Value average = graph.state("average", {f64, {2}}, init::ones());
  const Value memory = graph.state("memory", {f64, {model.batch, 2}}, init::zeros());
  const Value weight = sum(abs(model.x));
  const Value mean = sum(model.h, {.axes = {0}}) / sum(model.y * model.y);
  graph.update(count, count + weight);
  graph.update(runs, runs + 1.0);
  graph.update(average, average * 0.9 + mean * 0.1);
  graph.update(memory, memory * 0.5 + model.h);
  const Step plain = training_step(LossTerm{1, sum((model.h - model.y + average) * (model.h + memory)), weight});
  for (const std::int64_t k : {2, 6})
    model.expect_equal(plain | optimize(adamw({})), plain | accumulate(k) | optimize(adamw({})));
}

TEST_CASE("values are fetched as the whole batch has them, whenever they are asked for", "[core][optim][accumulate]") {
  Regression model;
  const Value scores = transpose(tanh(model.h), {1, 0}), total = sum(scores, {.axes = {1}}), weight = sum(abs(model.y));
  const Value ratio = total / weight, doubled = model.w * 2.0;
  const Step plain = training_step(LossTerm{1, sum(model.h * model.h), weight});
  auto fetching_all = [&](const Step& step) {
    return step | fetch("scores", scores) | fetch("total", total) | fetch("ratio", ratio) | fetch("doubled", doubled) |
           fetch("x", model.x) | fetch("w", model.w);
  };
  const Step before = fetching_all(plain) | accumulate(3) | optimize(adamw({}));
  const Step after = fetching_all(plain | accumulate(3)) | optimize(adamw({}));
  const Step last = fetching_all(plain | accumulate(3) | optimize(adamw({})));
  for (const Step& step : {before, after, last}) model.expect_equal(fetching_all(plain | optimize(adamw({}))), step);

  Store store(before);
  Program program(before, store);
  const Tensor x = model.values(3), y = model.values(2);
  const Result result = program.run({{"x", x}, {"y", y}});
  CHECK(result.tensor(scores).extents() == Tensor::Extents{2, 12});  // by the user's value too
  CHECK(result.tensor(total).extents() == Tensor::Extents{2});
}

TEST_CASE("a loss that is scaled before or after its batch is cut has the same gradients",
          "[core][optim][accumulate]") {
  // Powers of two: scaling rounds nothing.
  const Transform scaled{.name = "scaled", .needs = {"gradients"}, .apply = [](Step step) {
                           Value scale;
                           Step made = replace_seeds(step, "scaled", [&](std::size_t, const Value& seed) {
                             if (scale.absent()) {
                               const auto phase = seed.graph().phase(Phase::step);
                               scale = full(seed.graph(), {}, f64, 4096);
                             }
                             return multiply(seed, cast(scale, seed.dtype()));
                           });
                           made.loss_scale = LossScale{made.find(scale), {}, {}};
                           for (Gradient& gradient : made.gradients) gradient.tags.scaled = true;
                           return made;
                         }};
  Regression model;
  const Value weight = sum(abs(model.x));
  const Loss one = LossTerm{0.5, sum(model.h * model.h), weight},
             other = LossTerm{1, sum(abs(model.h)), sum(model.y * model.y)};
  for (const Loss& loss : {one, one + other, one + other + Loss(LossTerm{0.1, sum(model.w * model.w), {}})}) {
    const Step plain = training_step(loss);
    const auto trained = [](const Step& step) { return step | clip_global_norm(0.8) | optimize(adamw({.rate = 0.1})); };
    for (const Step& step :
         {plain | scaled | accumulate(3), plain | accumulate(3) | scaled, plain | scaled | accumulate_over_runs(1)})
      model.expect_equal(trained(plain), trained(step));
  }
}

TEST_CASE("gradients of bf16 parameters are added in f32", "[core][optim][accumulate]") {
  Graph graph;
  const Value x = graph.input("x", bf16, {graph.dim("batch", 512), 1});
  const Value w = graph.parameter("w", {bf16, {1, 1}}, init::ones());
  const Step step = training_step(LossTerm{1, sum(matmul(x, w)), {}}) | accumulate(512);
  Step fetched = step;
  fetched.set_fetch("d", step.gradient_of(w)->value);
  Store store(step);
  Program program(fetched, store);
  Tensor ones(f32, {512, 1});
  std::fill_n(ones.data<float>(), 512, 1.0F);
  const Tensor fed = ones.cast(bf16);
  CHECK(program.run({{"x", fed}}).tensor("d").at(0) == 512);  // in bf16 256 + 1 is 256
}

TEST_CASE("the bytes of a step of micro-batches are known at another batch too", "[core][optim][accumulate]") {
  const Language model(f64);
  const Step cut = clipped_and_updated(training_step(model.loss) | accumulate(3));
  const Step small = at_batch(cut, 6);
  const Batch batch = tokens(6, 6, 1);
  const Language other(f64, 6);
  compare(trace(small, {batch}), trace(clipped_and_updated(training_step(other.loss)), {batch}), 1e-12);
  CHECK_THROWS_WITH(at_batch(cut, 4),
                    ContainsSubstring("at_batch(4): this step runs 3 micro-batches, which do not divide a batch of 4"));
}

TEST_CASE("a printed step says what runs for each micro-batch", "[core][optim][accumulate]") {
  Regression model;
  const Step step = training_step(LossTerm{1, sum(model.h * model.h), sum(model.y)}) | accumulate(3);
  CHECK_THAT(str(step), ContainsSubstring("-- for each micro-batch --") && ContainsSubstring("-- for each step --") &&
                            ContainsSubstring("not divided by the weight"));
  CHECK_THAT(audit(step).str(), ContainsSubstring("training_step | accumulate(3)"));
}
