// The default training step as one call, composed of the usual transforms.
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
  std::int64_t micro_batches = 1;                        ///< the batch runs in this many parts, one after the other
  double clip_norm = 1.0;                                ///< of all gradients together; 0: no clipping
  AdamwConfig optimizer = {};
  std::optional<CheckpointOptions> checkpoint = std::nullopt;  ///< which activations are recomputed; absent: none
};

/// training_step | mixed_precision | scale_loss | accumulate | clip_global_norm | optimize(adamw) | checkpoint, in this
/// order, without those whose option is absent, 0 or 1. UserError: as the transforms'.
Step default_training_step(const Loss& loss, const DefaultTrainingStepOptions& options = {},
                           std::source_location where = std::source_location::current());

}  // namespace weft
