// The default training step, composed of its transforms.
#pragma once

#include <weft/optim/loss_scale.h>
#include <weft/optim/optimize.h>
#include <weft/optim/training_step.h>

#include <optional>

namespace weft {

struct TrainStepOptions {
  std::optional<LossScaling> loss_scale = std::nullopt;  ///< for gradients that are computed in f16
  double clip_norm = 1.0;                                ///< of all gradients together; 0: no clipping
  AdamwConfig optimizer = {};
};

/// training_step | scale_loss | clip_global_norm | optimize(adamw), without those whose option is absent or 0: what most
/// scripts want, in the order that is right. UserError: as the transforms'.
Step train_step(const Loss& loss, const TrainStepOptions& options = {},
                std::source_location where = std::source_location::current());

}  // namespace weft
