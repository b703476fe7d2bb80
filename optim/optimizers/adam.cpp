#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/step/adamw.h>
#include <weft/optim/optimizers/adam.h>

namespace weft {
namespace {

void expect_sound(const char* name, double beta1, double beta2, double eps, double weight_decay) {
  WEFT_CHECK(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "{} needs betas in [0, 1), got {} and {}", name, beta1,
             beta2);
  expect_not_negative(name, "eps", eps);
  expect_not_negative(name, "weight_decay", weight_decay);
}

// One op a tensor. `g` and `options` say how the weights decay.
void fused(const UpdateContext& c, const Value& g, const Value& m, const Value& v, const AdamwOptions& options) {
  const AdamwResult next = adamw_update(c.parameter, g, m, v, c.rate, c.updates, c.taken, options);
  c.step.updates.push_back({c.parameter, next.parameter});
  c.step.updates.push_back({m, next.exp_avg});
  c.step.updates.push_back({v, next.exp_avg_sq});
}

// Basic ops: the second moment never falls.
void amsgrad(const UpdateContext& c, const Value& g, const Value& m, const Value& v, const Value& largest,
             const AdamwOptions& options) {
  const Value first = m * options.beta1 + g * (1.0 - options.beta1);
  const Value second = v * options.beta2 + g * (1.0 - options.beta2) * g;
  const Value bound = maximum(largest, second);
  const Value size = c.narrow(c.rate / (1.0 - pow(options.beta1, c.t())));
  const Value root = c.narrow(sqrt(1.0 - pow(options.beta2, c.t())));
  const Value decayed =
      options.weight_decay == 0 ? c.parameter : c.parameter * c.narrow(1.0 - c.rate * options.weight_decay);
  c.update(c.parameter, decayed - size * (first / (sqrt(bound) / root + options.eps)));
  c.update(m, first);
  c.update(v, second);
  c.update(largest, bound);
}

// `penalty` is added to the gradient, options.weight_decay shrinks the parameter.
void add_update(const UpdateContext& c, bool with_amsgrad, bool maximize, double penalty, const AdamwOptions& options) {
  const Value m = c.state("exp_avg");
  const Value v = c.state("exp_avg_sq");
  const Value largest = with_amsgrad ? c.state("max_exp_avg_sq") : Value{};
  const auto scope = c.scope();
  const Value g = c.regularised(maximize, penalty);
  if (with_amsgrad) amsgrad(c, g, m, v, largest, options);
  else fused(c, g, m, v, options);
}

}  // namespace

Optimizer adam(const AdamConfig& config, std::source_location line) {
  const UserLine told(line);
  expect_sound("adam", config.beta1, config.beta2, config.eps, config.weight_decay);
  auto rule = [config](const UpdateContext& c) {
    add_update(c, config.amsgrad, config.maximize, c.weight_decay(config.weight_decay, config.decay_rank),
               {config.beta1, config.beta2, config.eps, 0.0});
  };
  return {"adam", config.rate, config.groups, rule};
}

Optimizer adamw(const AdamwConfig& config, std::source_location line) {
  const UserLine told(line);
  expect_sound("adamw", config.beta1, config.beta2, config.eps, config.weight_decay);
  auto rule = [config](const UpdateContext& c) {
    add_update(c, config.amsgrad, config.maximize, 0.0,
               {config.beta1, config.beta2, config.eps, c.weight_decay(config.weight_decay, config.decay_rank)});
  };
  return {"adamw", config.rate, config.groups, rule};
}

}  // namespace weft
