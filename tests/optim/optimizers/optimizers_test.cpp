// Trajectories against PyTorch 2.13 and, for Lion and LAMB, against the papers' algorithms in NumPy
// (data/optimizers.py).
#include <optim/fed_gradients.h>
#include <support/catch.h>
#include <support/temporary_folder.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <limits>

using namespace weft;
using test::FedGradients, test::different_cells;

namespace {

using Paths = std::vector<std::string>;

const nlohmann::json& stored() {
  static const auto json = [] {
    std::ifstream file(WEFT_TESTS_DIR "/optim/data/optimizers.json");
    return nlohmann::json::parse(file);
  }();
  return json;
}

struct Case {
  std::string name;
  Optimizer optimizer;
  Paths states;  // of "w"
};

// The settings of data/optimizers.py.
std::vector<Case> cases() {
  return {
      {"sgd", sgd({.rate = 0.1}), {}},
      {"sgd weight_decay", sgd({.rate = 0.1, .weight_decay = 0.05}), {}},
      {"sgd momentum", sgd({.rate = 0.1, .momentum = 0.9, .weight_decay = 0.05}), {"momentum_buffer"}},
      {"sgd dampening", sgd({.rate = 0.1, .momentum = 0.9, .dampening = 0.3}), {"momentum_buffer"}},
      {"sgd nesterov",
       sgd({.rate = 0.1, .momentum = 0.9, .weight_decay = 0.05, .nesterov = true}),
       {"momentum_buffer"}},
      {"sgd maximize",
       sgd({.rate = 0.1, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.05, .maximize = true}),
       {"momentum_buffer"}},
      {"adam", adam({.rate = 0.02}), {"exp_avg", "exp_avg_sq"}},
      {"adam weight_decay",
       adam({.rate = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.3}),
       {"exp_avg", "exp_avg_sq"}},
      {"adam amsgrad",
       adam({.rate = 0.02, .beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.3, .amsgrad = true}),
       {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}},
      {"adam maximize", adam({.rate = 0.02, .weight_decay = 0.3, .maximize = true}), {"exp_avg", "exp_avg_sq"}},
      {"adamw", adamw({.rate = 0.02}), {"exp_avg", "exp_avg_sq"}},
      {"adamw weight_decay",
       adamw({.rate = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.3}),
       {"exp_avg", "exp_avg_sq"}},
      {"adamw amsgrad",
       adamw({.rate = 0.02, .beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.3, .amsgrad = true}),
       {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}},
      {"adamw maximize", adamw({.rate = 0.02, .weight_decay = 0.3, .maximize = true}), {"exp_avg", "exp_avg_sq"}},
      {"adagrad", adagrad(), {"sum"}},
      {"adagrad lr_decay",
       adagrad({.rate = 0.1, .lr_decay = 0.05, .weight_decay = 0.1, .initial_accumulator_value = 0.5, .eps = 1e-4}),
       {"sum"}},
      {"adagrad maximize", adagrad({.rate = 0.1, .maximize = true}), {"sum"}},
      {"rmsprop", rmsprop(), {"square_avg"}},
      {"rmsprop momentum",
       rmsprop({.rate = 0.02, .alpha = 0.9, .eps = 1e-4, .weight_decay = 0.1, .momentum = 0.8}),
       {"momentum_buffer", "square_avg"}},
      {"rmsprop centered",
       rmsprop({.rate = 0.02, .alpha = 0.9, .eps = 1e-4, .centered = true}),
       {"grad_avg", "square_avg"}},
      {"rmsprop all",
       rmsprop({.rate = 0.02, .alpha = 0.9, .weight_decay = 0.1, .momentum = 0.5, .centered = true, .maximize = true}),
       {"grad_avg", "momentum_buffer", "square_avg"}},
      {"adafactor", adafactor(), {"col_var", "row_var"}},
      {"adafactor all",
       adafactor({.rate = 0.3,
                  .beta2_decay = -0.6,
                  .eps1 = 1e-2,
                  .eps2 = 0.2,
                  .d = 1.5,
                  .weight_decay = 0.1,
                  .maximize = true}),
       {"col_var", "row_var"}},
      {"lion", lion({.rate = 0.02}), {"exp_avg"}},
      {"lion weight_decay", lion({.rate = 0.02, .beta1 = 0.95, .beta2 = 0.98, .weight_decay = 0.3}), {"exp_avg"}},
      {"lamb", lamb({.rate = 0.05}), {"exp_avg", "exp_avg_sq"}},
      {"lamb bounds",
       lamb({.rate = 0.05,
             .beta1 = 0.8,
             .beta2 = 0.9,
             .eps = 1e-3,
             .weight_decay = 0,
             .least_norm = 0.6,
             .greatest_norm = 0.9}),
       {"exp_avg", "exp_avg_sq"}},
      {"muon", muon({.rate = 0.05}), {"momentum_buffer"}},
      {"muon all",
       muon({.rate = 0.05,
             .weight_decay = 0.3,
             .momentum = 0.8,
             .nesterov = false,
             .ns_coefficients = {2.0, -1.5, 0.5},
             .eps = 1e-3,
             .ns_steps = 3,
             .adjust_lr = MuonRate::match_rms_adamw}),
       {"momentum_buffer"}},
      {"muon bf16", muon({.rate = 0.05, .ns_dtype = bf16}), {"momentum_buffer"}},
  };
}

FedGradients model_of(const Case& each, DType dtype) {
  return FedGradients(dtype, each.name.starts_with("muon") ? FedGradients::matrices() : FedGradients::every());
}

// The largest difference from the stored trajectory, relative to what is stored (and to 0.1 below that).
double worst_error(const Case& each, DType dtype) {
  FedGradients model = model_of(each, dtype);
  const Step step = training_step(model.loss) | optimize(each.optimizer);
  Store store(step);
  Program program(step, store);
  const auto& samples = stored().at("trajectories").at(each.name);
  std::size_t sample = 0;
  double worst = 0;
  for (std::int64_t t = 1; t <= stored().at("steps"); ++t) {
    model.run(program, t);
    if (stored().at("sampled").at(sample) != t) continue;
    const auto want = samples.at(sample++).get<std::vector<double>>();
    const std::vector<double> got = model.values(store);
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < got.size(); ++i)
      worst = std::max(worst, std::abs(got[i] - want[i]) / std::max(0.1, std::abs(want[i])));
  }
  REQUIRE(sample == samples.size());
  return worst;
}

}  // namespace

TEST_CASE("every optimizer follows the stored trajectory over 25 steps in f64 and f32", "[core][optim][optimizers]") {
  std::set<std::string> covered;
  for (const Case& each : cases()) {
    CAPTURE(each.name);
    covered.insert(each.name);
    // Where 8 bits are kept another processor's order of sums may turn a rounding; the wrong place to round costs 3e-2.
    const bool rounds = each.name == "muon bf16";
    CHECK(worst_error(each, f64) < (rounds ? 1e-2 : 1e-10));
    CHECK(worst_error(each, f32) < (rounds ? 1e-2 : 1e-5));
  }
  for (const auto& [name, samples] : stored().at("trajectories").items()) {
    CAPTURE(name);
    CHECK(covered.contains(name));
  }
}

TEST_CASE("an optimizer's state cells are named by kind and parameter", "[core][optim][optimizers]") {
  for (const Case& each : cases()) {
    CAPTURE(each.name);
    const Step step = training_step(model_of(each, f32).loss) | optimize(each.optimizer);
    const Store store(step);
    Paths kinds;
    for (const std::string& path : store.match("optimizer/*/w")) kinds.push_back(path.substr(10, path.size() - 12));
    CHECK(kinds == each.states);
    for (const auto& [path, cell] : store.cells())
      CHECK(cell.tensor.dtype() == (path == "updates" || path == "skipped" ? i64 : f32));
  }
}

TEST_CASE("adafactor keeps a row and a column of a matrix, and a whole vector", "[core][optim][optimizers]") {
  const Step step = training_step(FedGradients(f32, {{"stack", {5, 4, 3}}, {"bias", {7}}, {"scale", {}}}).loss) |
                    optimize(adafactor());
  const Store store(step);
  CHECK(store.tensor("optimizer/row_var/stack").extents() == Tensor::Extents{5, 4, 1});
  CHECK(store.tensor("optimizer/col_var/stack").extents() == Tensor::Extents{5, 1, 3});
  CHECK(store.tensor("optimizer/variance/bias").extents() == Tensor::Extents{7});
  CHECK(store.tensor("optimizer/variance/scale").extents() == Tensor::Extents{});
  CHECK_FALSE(store.has("optimizer/variance/stack"));
}

TEST_CASE("a step that is not taken leaves the bits of every cell, and the next step is as if it had not been",
          "[core][optim][optimizers]") {
  const double bad = GENERATE(std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity());
  for (const Case& each : cases()) {
    CAPTURE(each.name, bad);
    FedGradients model = model_of(each, f32);
    const Step step = training_step(model.loss) | optimize(each.optimizer);
    Store store(step), straight(step);
    Program program(step, store), clean(step, straight);
    for (std::int64_t t = 1; t <= 3; ++t) {
      model.run(program, t);
      model.run(clean, t);
    }
    const Store before = store.clone();
    model.fill(4);
    model.put(model.gradients.front(), 1, bad);  // one element of one parameter: none may move
    const Result result = program.run(model.feeds());
    CHECK(result.scalar("finite") == 0);
    CHECK(result.scalar("skipped") == 1);
    CHECK(different_cells(before, store) == Paths{"skipped"});
    model.run(program, 4);
    model.run(clean, 4);
    CHECK(different_cells(store, straight) == Paths{"skipped"});
    CHECK(store.updates() == 4);
  }
}

TEST_CASE("a run saved at step 5 goes on with the same bits", "[core][optim][optimizers]") {
  const test::TemporaryFolder folder;
  for (const Case& each : cases()) {
    CAPTURE(each.name);
    FedGradients model = model_of(each, f32);
    const Step step = training_step(model.loss) | optimize(each.optimizer);
    Store store(step);
    Program program(step, store);
    for (std::int64_t t = 1; t <= 5; ++t) model.run(program, t);
    save_run(folder / "run", store);
    for (std::int64_t t = 6; t <= 8; ++t) model.run(program, t);
    Store again(step, {.seed = 9});
    load_run(folder / "run", again);
    Program resumed(step, again);
    for (std::int64_t t = 6; t <= 8; ++t) model.run(resumed, t);
    CHECK(different_cells(store, again).empty());
  }
}

TEST_CASE("an update has the same bits for any number of threads", "[core][optim][optimizers]") {
  auto trained = [](const Optimizer& optimizer, int threads) {
    FedGradients model(f32, {{"w", {160, 210}}, {"v", {210, 70}}});
    const Step step = training_step(model.loss) | optimize(optimizer);
    Store store(step);
    Program program(step, store, {.threads = threads});
    for (std::int64_t t = 1; t <= 2; ++t) model.run(program, t);
    return store;
  };
  for (const Case& each : cases())
    if (each.name == each.optimizer.name) {
      CAPTURE(each.name);
      CHECK(different_cells(trained(each.optimizer, 1), trained(each.optimizer, 3)).empty());
    }
}

TEST_CASE("LAMB takes a plain step where a layer's weights are all zero", "[core][optim][optimizers]") {
  Graph graph;
  const Value p = graph.parameter("p", {f64, {3}}, init::zeros());
  const Value g = graph.input("g", f64, {3});
  const Step step = training_step(Loss(sum(p * g))) | optimize(lamb({.rate = 0.5, .eps = 0, .weight_decay = 0}));
  Store store(step);
  Program program(step, store);
  const Tensor fed = Tensor::of<double>({3}, {2, -4, 8});
  program.run({{"g", fed}});
  CHECK(store.tensor("p").at(0) == Approx(-0.5));  // m / sqrt(v) = sign(g) at the first step
  CHECK(store.tensor("p").at(1) == Approx(0.5));
}

TEST_CASE("an optimizer of the user's own has the rights of the library's", "[core][optim][optimizers]") {
  const Optimizer heavy{"heavy", 0.25, {}, [](const UpdateContext& c) {
                          const Value speed = c.state("speed");
                          const Value next = speed * 0.5 + c.gradient;
                          c.update(speed, next);
                          c.update(c.parameter, c.parameter - c.narrow(c.rate) * next);
                        }};
  FedGradients ours(f64), theirs(f64);
  const Step a = training_step(ours.loss) | optimize(heavy);
  const Step b = training_step(theirs.loss) | optimize(sgd({.rate = 0.25, .momentum = 0.5}));
  CHECK_THAT(audit(a).str(), ContainsSubstring("optimize(heavy)"));
  Store x(a), y(b);
  Program p(a, x), q(b, y);
  for (std::int64_t t = 1; t <= 4; ++t) {
    ours.run(p, t);
    theirs.run(q, t);
  }
  CHECK(ours.values(x) == theirs.values(y));
  const Optimizer late{"late", 0.1, {}, [](const UpdateContext& c) {
                         const auto scope = c.scope();
                         c.state("speed");
                       }};
  CHECK_THROWS_WITH(
      training_step(ours.loss) | optimize(late),
      ContainsSubstring("late: the state 'optimizer/speed/w' would be named 'late/w/optimizer/speed/w'; hint: "
                        "ask for states before a scope is opened"));
}

TEST_CASE("an optimizer refuses parameters of 2 bytes unless it says that it takes them",
          "[core][optim][optimizers][errors]") {
  Graph graph;
  const Value p = graph.parameter("p", {bf16, {3}}, init::ones());
  const Step step = training_step(Loss(sum(cast(p, f32))));
  CHECK_THROWS_WITH(step | optimize(sgd()),
                    ContainsSubstring("sgd: the parameter 'p' (optimizers_test.cpp:") &&
                        ContainsSubstring("is bf16[3], in which small updates round to nothing; hint: keep it "
                                          "f32 and compute in bf16 by mixed_precision(bf16)"));
  Optimizer narrow = sgd({.rate = 0.5});
  narrow.takes_narrow = true;
  const Step taken = step | optimize(narrow);
  Store store(taken);
  Program(taken, store).run();
  CHECK(store.tensor("p").at(0) == 0.5);
}

TEST_CASE("every optimizer learns a small GPT's sentence by heart", "[optim][optimizers]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 4), time = graph.dim("time", 12);
  const Value tokens = graph.input("tokens", i64, {batch, time}), targets = graph.input("targets", i64, {batch, time});
  const nn::Gpt model(graph, {.vocab = 13, .layers = 2, .heads = 2, .width = 16, .context = 12});
  const Loss loss = cross_entropy(model(tokens), targets);
  Tensor x(i64, {4, 12}), y(i64, {4, 12});
  for (std::int64_t i = 0; i < 48; ++i) {
    const std::int64_t at = i / 12 * 5 + i % 12;
    x.data<std::int64_t>()[i] = at * at % 13;
    y.data<std::int64_t>()[i] = (at + 1) * (at + 1) % 13;
  }
  const Optimizer matrices[] = {
      muon({.rate = 0.02}),    adafactor({.rate = 0.05}), lamb({.rate = 0.02}), lion({.rate = 0.003}),
      adagrad({.rate = 0.05}), rmsprop({.rate = 0.003}),  adam({.rate = 0.01}), sgd({.rate = 0.1, .momentum = 0.9})};
  for (const Optimizer& optimizer : matrices) {
    CAPTURE(optimizer.name);
    const Step step = training_step(loss) | clip_global_norm(1.0) |
                      optimize({{"decoder/**norm/**", sgd({.rate = 0.01})},
                                {"decoder/**/weight", optimizer},
                                {"**", adamw({.rate = warmup(0.01, 5)})}}) |
                      average_weights({.decay = 0.9});
    CHECK(audit(step).complete());
    Store store(step, {.seed = 2});
    Program train(step, store);
    double first = 0, last = 0;
    for (int run = 0; run < 60; ++run) {
      last = train.run({{"tokens", x}, {"targets", y}}).scalar("loss");
      if (run == 0) first = last;
    }
    CHECK(first > 2);
    CHECK(last < 0.8);
    Store averaged = with_average(store);
    Program test(evaluation(loss), averaged);
    CHECK(test.run({{"tokens", x}, {"targets", y}}).scalar("loss") < 1.1);
  }
}

TEST_CASE("muon refuses what is no matrix, by name and line", "[core][optim][optimizers][errors]") {
  CHECK_THROWS_WITH(
      training_step(FedGradients(f32).loss) | optimize(muon()),
      ContainsSubstring("muon needs parameters of 2 axes, 'b' (fed_gradients.h:") &&
          ContainsSubstring("is f32[3]; hint: give it to another: optimize({{\"b\", adamw()}, {\"**\", muon()}})"));
}

TEST_CASE("bad settings of every optimizer are refused", "[core][optim][optimizers][errors]") {
  CHECK_THROWS_WITH(sgd({.momentum = -0.1}), ContainsSubstring("sgd needs momentum of at least 0, got -0.1"));
  CHECK_THROWS_WITH(sgd({.weight_decay = -1}), ContainsSubstring("sgd needs weight_decay of at least 0, got -1"));
  CHECK_THROWS_WITH(
      sgd({.nesterov = true}),
      ContainsSubstring("sgd: nesterov needs a momentum and no dampening, got momentum 0 and dampening 0"));
  CHECK_THROWS_WITH(sgd({.momentum = 0.9, .dampening = 0.1, .nesterov = true}), ContainsSubstring("and dampening 0.1"));
  CHECK_THROWS_WITH(sgd({.rate = -1}), ContainsSubstring("a learning rate must be finite and not negative, got -1"));
  CHECK_THROWS_WITH(adam({.beta2 = 1}), ContainsSubstring("adam needs betas in [0, 1), got 0.9 and 1"));
  CHECK_THROWS_WITH(adam({.eps = -1e-8}), ContainsSubstring("adam needs eps of at least 0, got -1e-08"));
  CHECK_THROWS_WITH(adamw({.weight_decay = std::nan("")}),
                    ContainsSubstring("adamw needs weight_decay of at least 0, got nan"));
  CHECK_THROWS_WITH(adagrad({.lr_decay = -1}), ContainsSubstring("adagrad needs lr_decay of at least 0, got -1"));
  CHECK_THROWS_WITH(adagrad({.initial_accumulator_value = -1}),
                    ContainsSubstring("initial_accumulator_value of at least 0"));
  CHECK_THROWS_WITH(rmsprop({.alpha = 1}), ContainsSubstring("rmsprop needs alpha in [0, 1), got 1"));
  CHECK_THROWS_WITH(rmsprop({.momentum = -1}), ContainsSubstring("rmsprop needs momentum of at least 0"));
  CHECK_THROWS_WITH(adafactor({.beta2_decay = 0.5}),
                    ContainsSubstring("adafactor needs a beta2_decay of at most 0, got 0.5"));
  CHECK_THROWS_WITH(adafactor({.d = 0.5}), ContainsSubstring("adafactor needs a threshold d of at least 1, got 0.5"));
  CHECK_THROWS_WITH(adafactor({.eps1 = -1}), ContainsSubstring("adafactor needs eps1 of at least 0"));
  CHECK_THROWS_WITH(lion({.beta1 = 1.5}), ContainsSubstring("lion needs beta1 in [0, 1), got 1.5"));
  CHECK_THROWS_WITH(lamb({.least_norm = 2, .greatest_norm = 1}),
                    ContainsSubstring("lamb needs least_norm <= greatest_norm, got 2 and 1"));
  CHECK_THROWS_WITH(muon({.ns_steps = 0}), ContainsSubstring("muon needs ns_steps in [1, 100), got 0"));
  CHECK_THROWS_WITH(muon({.ns_dtype = i32}), ContainsSubstring("muon needs an ns_dtype of floats, got i32"));
}

TEST_CASE("states and parameters are updated in their own bytes", "[core][optim][optimizers]") {
  for (const Case& each : cases()) {
    CAPTURE(each.name);
    const Step step = training_step(model_of(each, f32).loss) | optimize(each.optimizer) | average_weights();
    const Plan planned = plan(step);
    check_plan(planned);
    for (const Update& update : planned.copies) FAIL_CHECK("copied: " << update.state.name());
  }
}
