// The default training step, composed of its transforms.
#pragma once

#include <weft/autodiff/checkpoint.h>
#include <weft/optim/loss_scale.h>
#include <weft/optim/optimize.h>
#include <weft/optim/training_step.h>

#include <cstdint>
#include <optional>

namespace weft {

struct DefaultTrainingStepOptions {
  std::optional<DType> precision = std::nullopt;         ///< bf16 or f16 for products; absent: as the model is built
  std::optional<LossScaling> loss_scale = std::nullopt;  ///< for gradients that are computed in f16
  std::int64_t micro_batches = 1;                        ///< parts of the batch that run one after the other
  double clip_norm = 1.0;                                ///< of all gradients together; 0: no clipping
  AdamwConfig optimizer = {};
  std::optional<CheckpointOptions> checkpoint = std::nullopt;  ///< what of the forward pass is computed again
};

/// training_step | mixed_precision | scale_loss | accumulate | clip_global_norm | optimize(adamw) | checkpoint, without
/// those whose option is absent, 0 or 1: what most scripts want, in the order that is right. UserError: as the
/// transforms'.
Step default_training_step(const Loss& loss, const DefaultTrainingStepOptions& options = {},
                           std::source_location where = std::source_location::current());

}  // namespace weft
