// The default training step, composed of its transforms.
#pragma once

#include <weft/optim/optimize.h>
#include <weft/optim/training_step.h>

namespace weft {

struct TrainStepOptions {
  double clip_norm = 1.0;  ///< 0: no clipping
  AdamwConfig optimizer = {};
};

/// training_step | clip_global_norm | optimize(adamw): what most scripts want, in the order that is right.
Step train_step(const Loss& loss, const TrainStepOptions& options = {},
                std::source_location where = std::source_location::current());

}  // namespace weft
