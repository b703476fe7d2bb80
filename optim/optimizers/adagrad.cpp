#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/optim/optimizers/adagrad.h>

namespace weft {

Optimizer adagrad(const AdagradConfig& config, std::source_location line) {
  const UserLine told(line);
  expect_not_negative("adagrad", "lr_decay", config.lr_decay);
  expect_not_negative("adagrad", "weight_decay", config.weight_decay);
  expect_not_negative("adagrad", "initial_accumulator_value", config.initial_accumulator_value);
  expect_not_negative("adagrad", "eps", config.eps);
  auto rule = [config](const UpdateContext& c) {
    const Value sum = c.state("sum", c.parameter.type(), init::constant(config.initial_accumulator_value));
    const auto scope = c.scope();
    const Value g = c.regularised(config.maximize, c.weight_decay(config.weight_decay, config.decay_rank));
    const Value grown = sum + g * g;
    const Value rate = config.lr_decay == 0 ? c.rate : c.rate / ((c.t() - 1.0) * config.lr_decay + 1.0);
    c.update(c.parameter, c.parameter - c.narrow(rate) * (g / (sqrt(grown) + config.eps)));
    c.update(sum, grown);
  };
  return {"adagrad", config.rate, config.groups, rule};
}

}  // namespace weft
