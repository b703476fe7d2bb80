#include <weft/ops/adamw.h>
#include <weft/optim/optimize.h>

namespace weft {

Optimizer adamw(const AdamwConfig& config) {
  WEFT_CHECK(config.beta1 >= 0 && config.beta1 < 1 && config.beta2 >= 0 && config.beta2 < 1,
             "adamw needs betas in [0, 1), got {} and {}", config.beta1, config.beta2);
  WEFT_CHECK(config.eps >= 0, "adamw needs an eps of at least 0, got {}", config.eps);
  WEFT_CHECK(config.weight_decay >= 0, "adamw needs a weight decay of at least 0, got {}", config.weight_decay);
  auto update = [config](const UpdateContext& context) {
    Graph graph = context.step.graph;
    const Value exp_avg = context.state("exp_avg");
    const Value exp_avg_sq = context.state("exp_avg_sq");
    const auto scope = graph.scope("adamw/" + context.parameter.node().name);
    const double decay = context.parameter.rank() < config.decay_rank ? 0.0 : config.weight_decay;
    const AdamwResult result = adamw_update(
        context.parameter, context.gradient, exp_avg, exp_avg_sq, context.rate, context.updates, context.finite,
        {config.beta1, config.beta2, config.eps, context.group.weight_decay.value_or(decay)});
    context.step.updates.push_back({context.parameter, result.parameter});
    context.step.updates.push_back({exp_avg, result.exp_avg});
    context.step.updates.push_back({exp_avg_sq, result.exp_avg_sq});
  };
  return {"adamw", config.rate, config.groups, update};
}

}  // namespace weft
