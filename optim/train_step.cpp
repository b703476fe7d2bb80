// The table of contents of a training step: each transform, in order, and why it stands where it does.
#include <weft/optim/clip.h>
#include <weft/optim/train_step.h>

namespace weft {

Step train_step(const Loss& loss, const TrainStepOptions& options, std::source_location where) {
  // Forward and backward pass. First: everything else reads gradients.
  Step step = training_step(loss, where);

  // Larger cotangents to start the backward pass with. Before anything reads a gradient: the first that does unscales it.
  if (options.loss_scale) step = step | scale_loss(*options.loss_scale, where);

  // The global norm is over whole, clean gradients: after all that adds to them, before all that uses them.
  if (options.clip_norm != 0) step = step | clip_global_norm(options.clip_norm, {}, where);

  // Last: reads the clipped gradients, writes parameters and moments, and only if all was finite.
  return step | optimize(adamw(options.optimizer), where);
}

}  // namespace weft
