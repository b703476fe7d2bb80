// The table of contents of a training step: each transform, in order, and why it stands where it does.
#include <weft/optim/accumulate.h>
#include <weft/optim/clip.h>
#include <weft/optim/default_training_step.h>
#include <weft/optim/mixed_precision.h>

namespace weft {

Step default_training_step(const Loss& loss, const DefaultTrainingStepOptions& options, std::source_location where) {
  const UserLine line(where);

  // Forward and backward pass. First: everything else reads gradients.
  Step step = training_step(loss);

  // Products in two bytes. Rewrites the forward pass and derives the gradients anew (optim/backward_pass.h says why not
  // at once): before anything is built on them.
  if (options.precision) step = step | mixed_precision(*options.precision);

  // Larger cotangents to start the backward pass with. Before anything reads a gradient: the first that does unscales
  // it.
  if (options.loss_scale) step = step | scale_loss(*options.loss_scale);

  // Sums of gradients over micro-batches, divided once by the weight of them all. Before anything reads a gradient:
  // until the last micro-batch it is not whole.
  if (options.micro_batches != 1) step = step | accumulate(options.micro_batches);

  // The global norm is over whole, clean gradients: after all that adds to them, before all that uses them.
  if (options.clip_norm != 0) step = step | clip_global_norm(options.clip_norm);

  // Reads the clipped gradients, writes parameters and moments, and only if all was finite.
  step = step | optimize(adamw(options.optimizer));

  // Last: what is computed again and what is kept depends on all that runs.
  if (options.checkpoint) step = step | checkpoint(*options.checkpoint);
  return step;
}

}  // namespace weft
