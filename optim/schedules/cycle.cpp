#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/shape/creation.h>
#include <weft/optim/schedules/cycle.h>

#include <cmath>
#include <numbers>
#include <vector>

namespace weft {
namespace {

void expect_rate(const char* name, double rate) {
  WEFT_CHECK(std::isfinite(rate) && rate >= 0, "{}: a learning rate must be finite and not negative, got {}", name,
             rate);
}

void expect_count(const char* name, const char* what, std::int64_t value) {
  WEFT_CHECK(value >= 1, "{} needs a {} of at least 1, got {}", name, what, value);
}

// From `start` at part 0 to `end` at part 1.
Value anneal(Anneal strategy, double start, double end, const Value& part) {
  if (strategy == Anneal::linear) return part * (end - start) + start;
  return (cos(part * std::numbers::pi) + 1.0) * (0.5 * (start - end)) + end;
}

}  // namespace

Schedule cosine_annealing_warm_restarts(double rate, const CosineAnnealingWarmRestartsOptions& options,
                                        std::source_location line) {
  const UserLine told(line);
  expect_rate("cosine_annealing_warm_restarts", rate);
  expect_rate("cosine_annealing_warm_restarts (eta_min)", options.eta_min);
  expect_count("cosine_annealing_warm_restarts", "t_0", options.t_0);
  expect_count("cosine_annealing_warm_restarts", "t_mult", options.t_mult);
  const auto first = static_cast<double>(options.t_0);
  const auto mult = static_cast<double>(options.t_mult);
  return {
      fmt::format("cosine_annealing_warm_restarts({}, {}, {}, {})", rate, options.t_0, options.t_mult, options.eta_min),
      [=](const Value& updates) {
        const Value t = cast(updates, f64);
        if (options.t_mult == 1)
          return anneal(Anneal::cos, rate, options.eta_min, cast(remainder(updates, options.t_0), f64) / first);
        // Restart n is at t_0 (mult^n - 1) / (mult - 1), a whole number; the logarithm may miss n by one.
        auto restart = [&](const Value& n) { return round((pow(mult, n) - 1.0) * (first / (mult - 1.0))); };
        Value n = floor(log(t * ((mult - 1.0) / first) + 1.0) / std::log(mult));
        n = where(greater(restart(n), t), n - 1.0, n);
        n = where(less_equal(restart(n + 1.0), t), n + 1.0, n);
        const Value period = round(pow(mult, n)) * first;
        return anneal(Anneal::cos, rate, options.eta_min, (t - restart(n)) / period);
      }};
}

Schedule one_cycle_lr(double max_rate, const OneCycleLrOptions& options, std::source_location line) {
  const UserLine told(line);
  expect_rate("one_cycle_lr", max_rate);
  expect_count("one_cycle_lr", "total_steps", options.total_steps);
  const double most = options.three_phase ? 0.5 : 1.0;
  WEFT_CHECK(options.pct_start >= 0 && options.pct_start <= most, "one_cycle_lr needs a pct_start in [0, {}], got {}",
             most, options.pct_start);
  WEFT_CHECK(options.div_factor > 0 && options.final_div_factor > 0 && std::isfinite(options.div_factor) &&
                 std::isfinite(options.final_div_factor),
             "one_cycle_lr needs positive div factors, got {} and {}", options.div_factor, options.final_div_factor);
  struct Phase {
    double end, from, to;  // the last of its steps; rates
  };
  const double first = max_rate / options.div_factor;
  const double last = first / options.final_div_factor;
  const auto total = static_cast<double>(options.total_steps);
  std::vector<Phase> phases{{options.pct_start * total - 1, first, max_rate}};
  if (options.three_phase) phases.push_back({2 * options.pct_start * total - 2, max_rate, first});
  phases.push_back({total - 1, options.three_phase ? first : max_rate, last});
  return {fmt::format("one_cycle_lr({}, {})", max_rate, options.total_steps), [=](const Value& updates) {
            const Value t = minimum(cast(updates, f64), total - 1);
            Value rate;
            double begin = 0;
            for (const Phase& phase : phases) {
              const double length = phase.end - begin;
              const Value here = length > 0
                                     ? anneal(options.anneal_strategy, phase.from, phase.to, (t - begin) / length)
                                     : full(updates.graph(), {}, f64, phase.to);  // a phase without steps is at its end
              rate = rate.valid() ? where(less_equal(t, begin), rate, here) : here;
              begin = phase.end;
            }
            return rate;
          }};
}

Schedule cyclic_lr(double base_rate, double max_rate, const CyclicLrOptions& options, std::source_location line) {
  const UserLine told(line);
  expect_rate("cyclic_lr", base_rate);
  expect_rate("cyclic_lr", max_rate);
  WEFT_CHECK(base_rate <= max_rate, "cyclic_lr needs base_rate <= max_rate, got {} and {}", base_rate, max_rate);
  expect_count("cyclic_lr", "step_size_up", options.step_size_up);
  expect_count("cyclic_lr", "step_size_down", options.step_size_down.value_or(1));
  WEFT_CHECK(std::isfinite(options.gamma) && options.gamma >= 0, "cyclic_lr needs a gamma of at least 0, got {}",
             options.gamma);
  const auto up = static_cast<double>(options.step_size_up);
  const auto down = static_cast<double>(options.step_size_down.value_or(options.step_size_up));
  return {fmt::format("cyclic_lr({}, {}, {})", base_rate, max_rate, options.step_size_up), [=](const Value& updates) {
            const Value t = cast(updates, f64);
            const Value cycles = floor(t / (up + down));  // whole ones, gone by
            const Value step = t - cycles * (up + down);
            const Value height = where(less_equal(step, up), step / up, (up + down - step) / down);
            Value top = height * (max_rate - base_rate);
            if (options.mode == CyclicMode::triangular2) top = top * pow(0.5, cycles);
            if (options.mode == CyclicMode::exp_range) top = top * pow(options.gamma, t);
            return top + base_rate;
          }};
}

}  // namespace weft
