// Schedules against torch.optim.lr_scheduler 2.13 (data/schedules.py; weft_golden has more) and against their formulas.
#include <optim/fed_gradients.h>
#include <support/catch.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

using namespace weft;

namespace {

std::vector<double> rates_of(const Schedule& schedule, std::int64_t count, std::int64_t first = 0) {
  Graph graph;
  const Value rate = schedule(graph.input("updates", i64, {}));
  graph.check();
  REQUIRE(rate.type() == TensorType{f64, {}});
  Store store(graph);
  Program program(fetching({rate}), store);
  std::vector<double> rates;
  for (std::int64_t t = first; t < first + count; ++t) {
    const Tensor fed = Tensor::scalar<std::int64_t>(t);
    rates.push_back(program.run({{"updates", fed}}).scalar(rate));
  }
  return rates;
}

double rate_at(const Schedule& schedule, std::int64_t t) { return rates_of(schedule, 1, t).front(); }

std::vector<std::pair<std::string, Schedule>> cases() {
  return {
      {"constant_lr", constant_lr(0.5, {.factor = 0.6, .total_iters = 7})},
      {"linear_lr down", linear_lr(0.5, {.start_factor = 1, .end_factor = 0, .total_iters = 9})},
      {"step_lr", step_lr(0.5, {.step_size = 3})},
      {"multi_step_lr twice", multi_step_lr(0.5, {4, 4, 11}, 0.5)},
      {"polynomial_lr root", polynomial_lr(0.5, {.total_iters = 20, .power = 0.5})},
      {"polynomial_lr", polynomial_lr(0.5)},
      {"cosine_annealing_lr beyond", cosine_annealing_lr(0.5, {.t_max = 12, .eta_min = 0.1})},
      {"restarts equal", cosine_annealing_warm_restarts(0.5, {.t_0 = 6})},
      {"restarts triple", cosine_annealing_warm_restarts(0.5, {.t_0 = 1, .t_mult = 3, .eta_min = 0.1})},
      {"restarts double", cosine_annealing_warm_restarts(0.5, {.t_0 = 3, .t_mult = 2})},
      {"one_cycle linear", one_cycle_lr(0.8, {.total_steps = 50, .anneal_strategy = Anneal::linear})},
      {"one_cycle three",
       one_cycle_lr(
           0.8,
           {.total_steps = 50, .pct_start = 0.25, .div_factor = 10, .final_div_factor = 100, .three_phase = true})},
      {"one_cycle no rise", one_cycle_lr(0.8, {.total_steps = 50, .pct_start = 0})},
      {"cyclic triangular", cyclic_lr(0.1, 0.7, {.step_size_up = 4})},
      {"cyclic uneven", cyclic_lr(0.1, 0.7, {.step_size_up = 3, .step_size_down = 8, .mode = CyclicMode::triangular2})},
      {"cyclic exp_range", cyclic_lr(0.1, 0.7, {.step_size_up = 5, .mode = CyclicMode::exp_range, .gamma = 0.95})},
      {"sequential", sequential_lr({constant_lr(0.5, {.factor = 0.2, .total_iters = 100}), exponential_lr(0.5, 0.9),
                                    step_lr(0.5, {.step_size = 4, .gamma = 0.5})},
                                   {6, 21})},
      {"warmup", warmup(polynomial_lr(0.5, {.total_iters = 20}), 8, {.start_factor = 0.25})},
  };
}

}  // namespace

TEST_CASE("schedules give the rates of torch.optim.lr_scheduler", "[core][optim][schedule]") {
  std::ifstream file(WEFT_TESTS_DIR "/optim/data/schedules.json");
  const auto stored = nlohmann::json::parse(file);
  std::set<std::string> covered;
  for (const auto& [name, schedule] : cases()) {
    CAPTURE(name);
    covered.insert(name);
    const auto want = stored.at(name).get<std::vector<double>>();
    const std::vector<double> got = rates_of(schedule, static_cast<std::int64_t>(want.size()));
    for (std::size_t t = 0; t < want.size(); ++t) {
      CAPTURE(t);
      CHECK(std::abs(got[t] - want[t]) <= 1e-13 + 1e-12 * want[t]);
    }
  }
  for (const auto& [name, values] : stored.items()) CHECK(covered.contains(name));
}

TEST_CASE("a number is a constant rate, and a factor scales any schedule", "[core][optim][schedule]") {
  CHECK(rates_of(0.25, 3) == std::vector<double>{0.25, 0.25, 0.25});
  CHECK(rates_of(3.0 * exponential_lr(0.5, 0.5) * 2.0, 3) == std::vector<double>{3, 1.5, 0.75});
  CHECK((exponential_lr(0.5, 0.5) * 2.0).name() == "exponential_lr(0.5, 0.5) * 2");
}

TEST_CASE("the inverse square root rises to its rate and falls with the root of the step", "[core][optim][schedule]") {
  const std::vector<double> rates = rates_of(inverse_sqrt_lr(0.5, 4), 17);
  CHECK(rates[0] == Approx(0.125));
  CHECK(rates[3] == Approx(0.5));
  CHECK(rates[15] == Approx(0.25));  // s = 16
  // Vaswani et al. 2017, eq. 3: d_model^-0.5 min(s^-0.5, s warmup^-1.5)
  const Schedule paper = inverse_sqrt_lr(1 / std::sqrt(512.0 * 4000), 4000);
  for (const double s : {1.0, 100.0, 4000.0, 4001.0, 123456.0})
    CHECK(rate_at(paper, static_cast<std::int64_t>(s) - 1) ==
          Approx(std::min(1 / std::sqrt(s), s * std::pow(4000, -1.5)) / std::sqrt(512)));
}

TEST_CASE("a linear warm-up before a cosine is warmup_cosine", "[core][optim][schedule]") {
  const std::vector<double> a = rates_of(warmup(cosine_annealing_lr(0.3, {.t_max = 20, .eta_min = 0.01}), 7), 27);
  const std::vector<double> b = rates_of(warmup_cosine(0.3, 7, 27, 0.01), 27);
  for (std::size_t t = 0; t < a.size(); ++t) CHECK(a[t] == Approx(b[t]).epsilon(1e-13));
}

TEST_CASE("a constant warm-up holds a part of the first rate", "[core][optim][schedule]") {
  const Schedule schedule = warmup(exponential_lr(0.8, 0.5), 3, {.kind = Warmup::constant, .start_factor = 0.25});
  CHECK(rates_of(schedule, 5) == std::vector<double>{0.2, 0.2, 0.2, 0.8, 0.4});
  CHECK(rates_of(warmup(0.5, 0), 2) == std::vector<double>{0.5, 0.5});
}

TEST_CASE("one cycle ends at its last step and stays there", "[core][optim][schedule]") {
  const Schedule schedule = one_cycle_lr(0.5, {.total_steps = 20});
  CHECK(rate_at(schedule, 19) == Approx(0.5 / 25 / 1e4));
  CHECK(rate_at(schedule, 20) == rate_at(schedule, 19));
  CHECK(rate_at(schedule, 5000) == rate_at(schedule, 19));
}

TEST_CASE("warm restarts find their period however many updates have been taken", "[core][optim][schedule]") {
  for (const std::int64_t mult : {2, 3, 5, 7}) {
    const Schedule schedule = cosine_annealing_warm_restarts(1.0, {.t_0 = 3, .t_mult = mult});
    std::int64_t start = 0, period = 3;
    for (int n = 0; n < 14; ++n) {  // by counting, not by a logarithm
      CAPTURE(mult, start);
      CHECK(rate_at(schedule, start) == 1.0);
      if (start > 0) CHECK(rate_at(schedule, start - 1) < 0.5);
      CHECK(rate_at(schedule, start + period / 3) == Approx(0.75).margin(1e-9));
      start += period;
      period *= mult;
    }
  }
}

TEST_CASE("a schedule counts the updates that were taken, not the runs", "[core][optim][schedule]") {
  test::FedGradients model;
  const Step step = training_step(model.loss) | optimize(sgd({.rate = exponential_lr(1.0, 0.5)}));
  Store store(step);
  Program program(step, store);
  CHECK(model.run(program, 1).scalar("rate") == 1);
  model.fill(2);
  model.put(model.gradients[1], 0, std::numeric_limits<double>::infinity());
  CHECK(program.run(model.feeds()).scalar("rate") == 0.5);  // not taken
  CHECK(model.run(program, 2).scalar("rate") == 0.5);
  CHECK(model.run(program, 3).scalar("rate") == 0.25);
}

TEST_CASE("a schedule of the user's own must give an f64 scalar", "[core][optim][schedule][errors]") {
  test::FedGradients model;
  const Schedule wrong("wrong", [](const Value& updates) { return cast(updates, f32); });
  CHECK_THROWS_WITH(training_step(model.loss) | optimize(sgd({.rate = wrong})),
                    ContainsSubstring("a schedule must give a f64 scalar, wrong gives f32[]"));
}

TEST_CASE("bad settings of schedules are refused", "[core][optim][schedule][errors]") {
  CHECK_THROWS_WITH(constant_lr(-1),
                    ContainsSubstring("constant_lr: a learning rate must be finite and not negative, got -1"));
  CHECK_THROWS_WITH(constant_lr(1, {.factor = 2}), ContainsSubstring("constant_lr needs a factor in [0, 1], got 2"));
  CHECK_THROWS_WITH(linear_lr(1, {.start_factor = -0.5}),
                    ContainsSubstring("linear_lr needs a start_factor in [0, 1], got -0.5"));
  CHECK_THROWS_WITH(linear_lr(1, {.total_iters = 0}),
                    ContainsSubstring("linear_lr needs a total_iters of at least 1, got 0"));
  CHECK_THROWS_WITH(step_lr(1, {.step_size = 0}), ContainsSubstring("step_lr needs a step_size of at least 1, got 0"));
  CHECK_THROWS_WITH(multi_step_lr(1, {}), ContainsSubstring("multi_step_lr needs milestones, got none"));
  CHECK_THROWS_WITH(multi_step_lr(1, {5, -2}),
                    ContainsSubstring("multi_step_lr needs a milestone of at least 0, got -2"));
  CHECK_THROWS_WITH(exponential_lr(1, -0.1), ContainsSubstring("exponential_lr needs a gamma of at least 0, got -0.1"));
  CHECK_THROWS_WITH(polynomial_lr(1, {.power = 0}), ContainsSubstring("polynomial_lr needs a positive power, got 0"));
  CHECK_THROWS_WITH(cosine_annealing_lr(1, {.t_max = 0}),
                    ContainsSubstring("cosine_annealing_lr needs a t_max of at least 1, got 0"));
  CHECK_THROWS_WITH(cosine_annealing_lr(1, {.t_max = 5, .eta_min = -1}),
                    ContainsSubstring("(eta_min): a learning rate must be finite"));
  CHECK_THROWS_WITH(inverse_sqrt_lr(1, 0), ContainsSubstring("inverse_sqrt_lr needs a warmup of at least 1, got 0"));
  CHECK_THROWS_WITH(cosine_annealing_warm_restarts(1, {.t_0 = 0}),
                    ContainsSubstring("needs a t_0 of at least 1, got 0"));
  CHECK_THROWS_WITH(cosine_annealing_warm_restarts(1, {.t_mult = 0}),
                    ContainsSubstring("needs a t_mult of at least 1, got 0"));
  CHECK_THROWS_WITH(one_cycle_lr(1, {.total_steps = 0}),
                    ContainsSubstring("one_cycle_lr needs a total_steps of at least 1, got 0"));
  CHECK_THROWS_WITH(one_cycle_lr(1, {.total_steps = 9, .pct_start = 0.6, .three_phase = true}),
                    ContainsSubstring("one_cycle_lr needs a pct_start in [0, 0.5], got 0.6"));
  CHECK_THROWS_WITH(one_cycle_lr(1, {.total_steps = 9, .div_factor = 0}),
                    ContainsSubstring("needs positive div factors, got 0 and 10000"));
  CHECK_THROWS_WITH(cyclic_lr(0.5, 0.1), ContainsSubstring("cyclic_lr needs base_rate <= max_rate, got 0.5 and 0.1"));
  CHECK_THROWS_WITH(cyclic_lr(0.1, 0.5, {.step_size_down = 0}),
                    ContainsSubstring("cyclic_lr needs a step_size_down of at least 1, got 0"));
  CHECK_THROWS_WITH(sequential_lr({}, {}), ContainsSubstring("sequential_lr needs schedules, got none"));
  CHECK_THROWS_WITH(sequential_lr({0.1, 0.2}, {}),
                    ContainsSubstring("needs one milestone fewer than its 2 schedules, got 0"));
  CHECK_THROWS_WITH(sequential_lr({0.1, 0.2, 0.3}, {5, 5}), ContainsSubstring("must rise from 1, got 5 after 5"));
  CHECK_THROWS_WITH(warmup(0.1, -1), ContainsSubstring("warmup needs steps of at least 0, got -1"));
  CHECK_THROWS_WITH(warmup(0.1, 5, {.start_factor = 1.5}),
                    ContainsSubstring("warmup needs a start_factor in [0, 1], got 1.5"));
  CHECK_THROWS_WITH(Schedule(0.1) * -1.0,
                    ContainsSubstring("the factor of a learning rate must be finite and not negative, got -1"));
}

TEST_CASE("what an optimizer, a schedule or a loss scale refuses begins with the user's line",
          "[core][optim][errors]") {
  const auto at = [](int line, const char* message) {
    return ContainsSubstring(fmt::format("schedule_test.cpp:{}: {}", line, message));
  };
  CHECK_THROWS_WITH(adamw({.beta1 = 2}), at(__LINE__, "adamw needs betas in [0, 1), got 2 and 0.999"));
  CHECK_THROWS_WITH(adamw({.rate = -1}), at(__LINE__, "a learning rate must be finite and not negative, got -1"));
  CHECK_THROWS_WITH(muon({.ns_steps = 0}), at(__LINE__, "muon needs ns_steps in [1, 100), got 0"));
  CHECK_THROWS_WITH(warmup_cosine(1, 5, 2), at(__LINE__, "warmup_cosine needs 0 <= warmup < total"));
  CHECK_THROWS_WITH(warmup(1e-3, -1), at(__LINE__, "warmup needs steps of at least 0, got -1"));
  CHECK_THROWS_WITH(dynamic_scale({.growth = 0.5}), at(__LINE__, "dynamic_scale needs a growth above 1, got 0.5"));
}
