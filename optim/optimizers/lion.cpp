#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/optim/optimizers/lion.h>

namespace weft {

Optimizer lion(const LionConfig& config, std::source_location line) {
  const UserLine told(line);
  expect_fraction("lion", "beta1", config.beta1);
  expect_fraction("lion", "beta2", config.beta2);
  expect_not_negative("lion", "weight_decay", config.weight_decay);
  auto rule = [config](const UpdateContext& c) {
    const Value m = c.state("exp_avg");
    const auto scope = c.scope();
    const Value g = c.regularised(config.maximize, 0);
    const double decay = c.weight_decay(config.weight_decay, config.decay_rank);
    const Value direction = sign(m * config.beta1 + g * (1.0 - config.beta1));
    const Value shrunk = decay == 0 ? c.parameter : c.parameter * c.narrow(1.0 - c.rate * decay);
    c.update(c.parameter, shrunk - c.narrow(c.rate) * direction);
    c.update(m, m * config.beta2 + g * (1.0 - config.beta2));
  };
  return {"lion", config.rate, config.groups, rule};
}

}  // namespace weft
