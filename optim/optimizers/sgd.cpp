#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/optim/optimizers/sgd.h>

namespace weft {

Optimizer sgd(const SgdConfig& config, std::source_location line) {
  const UserLine told(line);
  expect_not_negative("sgd", "momentum", config.momentum);
  expect_not_negative("sgd", "weight_decay", config.weight_decay);
  WEFT_CHECK(!config.nesterov || (config.momentum > 0 && config.dampening == 0),
             "sgd: nesterov needs a momentum and no dampening, got momentum {} and dampening {}", config.momentum,
             config.dampening);
  auto rule = [config](const UpdateContext& c) {
    const Value buffer = config.momentum == 0 ? Value{} : c.state("momentum_buffer");
    const auto scope = c.scope();
    const Value g = c.regularised(config.maximize, c.weight_decay(config.weight_decay, config.decay_rank));
    Value direction = g;
    if (config.momentum != 0) {
      const Value kept = buffer * config.momentum;
      Value moved = kept + g;
      // Only dampening tells the first update from one that starts at a buffer of zeros.
      if (config.dampening != 0) moved = where(equal(c.updates, 0), g, kept + g * (1.0 - config.dampening));
      direction = config.nesterov ? g + moved * config.momentum : moved;
      c.update(buffer, moved);
    }
    c.update(c.parameter, c.parameter - c.narrow(c.rate) * direction);
  };
  return {"sgd", config.rate, config.groups, rule};
}

}  // namespace weft
