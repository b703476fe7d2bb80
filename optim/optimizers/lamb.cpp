#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/optim/optimizers/lamb.h>

#include <cmath>

namespace weft {
namespace {

Value norm(const Value& x) { return sqrt(cast(sum_squares(x), f64)); }

}  // namespace

Optimizer lamb(const LambConfig& config, std::source_location line) {
  const UserLine told(line);
  expect_fraction("lamb", "beta1", config.beta1);
  expect_fraction("lamb", "beta2", config.beta2);
  expect_not_negative("lamb", "eps", config.eps);
  expect_not_negative("lamb", "weight_decay", config.weight_decay);
  expect_not_negative("lamb", "least_norm", config.least_norm);
  WEFT_CHECK(config.greatest_norm >= config.least_norm, "lamb needs least_norm <= greatest_norm, got {} and {}",
             config.least_norm, config.greatest_norm);
  auto rule = [config](const UpdateContext& c) {
    const Value m = c.state("exp_avg");
    const Value v = c.state("exp_avg_sq");
    const auto scope = c.scope();
    const Value g = c.regularised(config.maximize, 0);
    const double decay = c.weight_decay(config.weight_decay, config.decay_rank);
    const Value first = m * config.beta1 + g * (1.0 - config.beta1);
    const Value second = v * config.beta2 + g * (1.0 - config.beta2) * g;
    const Value mean = first / c.narrow(1.0 - pow(config.beta1, c.t()));
    const Value root = sqrt(second / c.narrow(1.0 - pow(config.beta2, c.t())));
    Value u = mean / (root + config.eps);
    if (decay != 0) u = u + c.parameter * decay;
    Value weights = norm(c.parameter);
    if (config.least_norm > 0) weights = maximum(weights, config.least_norm);
    if (std::isfinite(config.greatest_norm)) weights = minimum(weights, config.greatest_norm);
    const Value length = norm(u);
    const Value trust = where(logical_and(greater(weights, 0.0), greater(length, 0.0)), weights / length, 1.0);
    c.update(c.parameter, c.parameter - c.narrow(c.rate * trust) * u);
    c.update(m, first);
    c.update(v, second);
  };
  return {"lamb", config.rate, config.groups, rule};
}

}  // namespace weft
