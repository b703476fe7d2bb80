#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/shape/creation.h>
#include <weft/optim/schedules/decay.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace weft {
namespace {

void expect_rate(const char* name, double rate) {
  WEFT_CHECK(std::isfinite(rate) && rate >= 0, "{}: a learning rate must be finite and not negative, got {}", name,
             rate);
}

void expect_at_least(const char* name, const char* what, std::int64_t value, std::int64_t least) {
  WEFT_CHECK(value >= least, "{} needs a {} of at least {}, got {}", name, what, least, value);
}

void expect_gamma(const char* name, double gamma) {
  WEFT_CHECK(std::isfinite(gamma) && gamma >= 0, "{} needs a gamma of at least 0, got {}", name, gamma);
}

void expect_factor(const char* name, const char* what, double factor) {
  WEFT_CHECK(factor >= 0 && factor <= 1, "{} needs a {} in [0, 1], got {}", name, what, factor);
}

// min(1, t / total)
Value progress(const Value& updates, std::int64_t total) {
  return minimum(cast(updates, f64) / static_cast<double>(total), 1.0);
}

}  // namespace

Schedule constant_lr(double rate, const ConstantLrOptions& options, std::source_location line) {
  const UserLine told(line);
  expect_rate("constant_lr", rate);
  expect_factor("constant_lr", "factor", options.factor);
  expect_at_least("constant_lr", "total_iters", options.total_iters, 0);
  return {fmt::format("constant_lr({}, {}, {})", rate, options.factor, options.total_iters), [=](const Value& updates) {
            const Graph graph = updates.graph();
            return where(less(updates, options.total_iters), full(graph, {}, f64, rate * options.factor),
                         full(graph, {}, f64, rate));
          }};
}

Schedule linear_lr(double rate, const LinearLrOptions& options, std::source_location line) {
  const UserLine told(line);
  expect_rate("linear_lr", rate);
  expect_factor("linear_lr", "start_factor", options.start_factor);
  expect_factor("linear_lr", "end_factor", options.end_factor);
  expect_at_least("linear_lr", "total_iters", options.total_iters, 1);
  const double rise = options.end_factor - options.start_factor;
  return {fmt::format("linear_lr({}, {}, {}, {})", rate, options.start_factor, options.end_factor, options.total_iters),
          [=](const Value& updates) {
            return (progress(updates, options.total_iters) * rise + options.start_factor) * rate;
          }};
}

Schedule step_lr(double rate, const StepLrOptions& options, std::source_location line) {
  const UserLine told(line);
  expect_rate("step_lr", rate);
  expect_at_least("step_lr", "step_size", options.step_size, 1);
  expect_gamma("step_lr", options.gamma);
  return {fmt::format("step_lr({}, {}, {})", rate, options.step_size, options.gamma), [=](const Value& updates) {
            return pow(options.gamma, cast(floor_divide(updates, options.step_size), f64)) * rate;
          }};
}

Schedule multi_step_lr(double rate, const std::vector<std::int64_t>& milestones, double gamma,
                       std::source_location line) {
  const UserLine told(line);
  expect_rate("multi_step_lr", rate);
  expect_gamma("multi_step_lr", gamma);
  WEFT_CHECK(!milestones.empty(), "multi_step_lr needs milestones, got none");
  for (const std::int64_t milestone : milestones) expect_at_least("multi_step_lr", "milestone", milestone, 0);
  return {fmt::format("multi_step_lr({}, {} milestones, {})", rate, milestones.size(), gamma),
          [=](const Value& updates) {
            Value passed;
            for (const std::int64_t milestone : milestones) {
              const Value one = cast(greater_equal(updates, milestone), f64);
              passed = passed.valid() ? passed + one : one;
            }
            return pow(gamma, passed) * rate;
          }};
}

Schedule exponential_lr(double rate, double gamma, std::source_location line) {
  const UserLine told(line);
  expect_rate("exponential_lr", rate);
  expect_gamma("exponential_lr", gamma);
  return {fmt::format("exponential_lr({}, {})", rate, gamma),
          [=](const Value& updates) { return pow(gamma, cast(updates, f64)) * rate; }};
}

Schedule polynomial_lr(double rate, const PolynomialLrOptions& options, std::source_location line) {
  const UserLine told(line);
  expect_rate("polynomial_lr", rate);
  expect_at_least("polynomial_lr", "total_iters", options.total_iters, 1);
  WEFT_CHECK(std::isfinite(options.power) && options.power > 0, "polynomial_lr needs a positive power, got {}",
             options.power);
  return {
      fmt::format("polynomial_lr({}, {}, {})", rate, options.total_iters, options.power),
      [=](const Value& updates) { return pow(1.0 - progress(updates, options.total_iters), options.power) * rate; }};
}

Schedule cosine_annealing_lr(double rate, const CosineAnnealingLrOptions& options, std::source_location line) {
  const UserLine told(line);
  expect_rate("cosine_annealing_lr", rate);
  expect_rate("cosine_annealing_lr (eta_min)", options.eta_min);
  expect_at_least("cosine_annealing_lr", "t_max", options.t_max, 1);
  return {fmt::format("cosine_annealing_lr({}, {}, {})", rate, options.t_max, options.eta_min),
          [=](const Value& updates) {
            const Value angle = cast(updates, f64) * (std::numbers::pi / static_cast<double>(options.t_max));
            return (cos(angle) + 1.0) * (0.5 * (rate - options.eta_min)) + options.eta_min;
          }};
}

Schedule inverse_sqrt_lr(double rate, std::int64_t warmup, std::source_location line) {
  const UserLine told(line);
  expect_rate("inverse_sqrt_lr", rate);
  expect_at_least("inverse_sqrt_lr", "warmup", warmup, 1);
  return {fmt::format("inverse_sqrt_lr({}, {})", rate, warmup), [=](const Value& updates) {
            const Value part = (cast(updates, f64) + 1.0) / static_cast<double>(warmup);
            return minimum(part, rsqrt(part)) * rate;
          }};
}

}  // namespace weft
