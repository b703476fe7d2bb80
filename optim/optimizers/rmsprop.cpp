#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/optim/optimizers/rmsprop.h>

namespace weft {

Optimizer rmsprop(const RmspropConfig& config, std::source_location line) {
  const UserLine told(line);
  expect_fraction("rmsprop", "alpha", config.alpha);
  expect_not_negative("rmsprop", "eps", config.eps);
  expect_not_negative("rmsprop", "weight_decay", config.weight_decay);
  expect_not_negative("rmsprop", "momentum", config.momentum);
  auto rule = [config](const UpdateContext& c) {
    const Value square_avg = c.state("square_avg");
    const Value grad_avg = config.centered ? c.state("grad_avg") : Value{};
    const Value buffer = config.momentum > 0 ? c.state("momentum_buffer") : Value{};
    const auto scope = c.scope();
    const Value g = c.regularised(config.maximize, c.weight_decay(config.weight_decay, config.decay_rank));
    const Value square = square_avg * config.alpha + g * (1.0 - config.alpha) * g;
    Value spread = square;
    if (config.centered) {
      const Value mean = grad_avg * config.alpha + g * (1.0 - config.alpha);
      spread = square - mean * mean;
      c.update(grad_avg, mean);
    }
    Value direction = g / (sqrt(spread) + config.eps);
    if (config.momentum > 0) {
      direction = buffer * config.momentum + direction;
      c.update(buffer, direction);
    }
    c.update(c.parameter, c.parameter - c.narrow(c.rate) * direction);
    c.update(square_avg, square);
  };
  return {"rmsprop", config.rate, config.groups, rule};
}

}  // namespace weft
