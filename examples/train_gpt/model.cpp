#include "trainer.h"

#include <weft/nn/gpt.h>
#include <weft/ops/loss/cross_entropy.h>
#include <weft/optim/clip.h>
#include <weft/optim/optimize.h>
#include <weft/optim/training_step.h>

namespace train_gpt {

Model build_model(const Recipe& recipe, std::int64_t vocabulary) {
  using namespace weft;
  Graph graph;
  const Dim batch = graph.dim("batch", recipe.batch);
  const Dim time = graph.dim("time", recipe.context);
  const Value tokens = graph.input("tokens", i32, {batch, time});
  const Value targets = graph.input("targets", i32, {batch, time});

  const nn::Gpt gpt(graph, {.vocab = vocabulary,
                            .layers = recipe.layers,
                            .heads = recipe.heads,
                            .width = recipe.width,
                            .context = recipe.context,
                            .dropout = recipe.dropout,
                            .bias = recipe.bias,
                            .tied = !recipe.untied,
                            .activation = recipe.activation});
  const Value logits = gpt(tokens);
  const Loss loss = cross_entropy(logits, targets, {.ignore_index = no_target});

  Step step = training_step(loss);
  if (recipe.clip > 0) step = step | clip_global_norm(recipe.clip);
  step = step | optimize(adamw({.rate = warmup_cosine(recipe.rate, recipe.warmup, recipe.steps, recipe.least_rate),
                                .beta1 = recipe.beta1,
                                .beta2 = recipe.beta2,
                                .weight_decay = recipe.weight_decay,
                                .decay_rank = 2}));
  return {logits, step, evaluation(loss)};
}

}  // namespace train_gpt
