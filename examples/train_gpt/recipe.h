// What decides the numbers of a run: saved with it, so that a resumed run goes on under the same rules.
#pragma once

#include <cstdint>
#include <string>

namespace train_gpt {

/// The defaults are nanoGPT's recipe for a CPU (Karpathy, nanoGPT, README, "i only have a macbook").
struct Recipe {
  std::int64_t layers = 4, heads = 4, width = 128, context = 64;
  std::string activation = "gelu";
  bool bias = false;
  bool untied = false;
  double dropout = 0;

  std::int64_t batch = 12, steps = 2000;
  double rate = 1e-3;
  double least_rate = -1;    ///< negative: a tenth of rate
  std::int64_t warmup = -1;  ///< negative: 100, or a tenth of the steps where there are no more than 100
  double beta1 = 0.9, beta2 = 0.99;
  double weight_decay = 0.1;  ///< of tensors with two and more axes
  double clip = 1;
  std::uint64_t seed = 1;

  std::string characters;  ///< the vocabulary, as UTF-8
  std::string text_hash;   ///< of the text, to say when another one is read on
};

/// A field that a resumed run may change, or one that the saved tensors depend on.
enum class Change { allowed, forbidden };

/// Calls f(flag without dashes, member, Change) for each field that is a flag.
template <class R, class F>
void each_field(R& recipe, F f) {
  f("layers", recipe.layers, Change::forbidden);
  f("heads", recipe.heads, Change::forbidden);
  f("width", recipe.width, Change::forbidden);
  f("context", recipe.context, Change::forbidden);
  f("activation", recipe.activation, Change::forbidden);
  f("bias", recipe.bias, Change::forbidden);
  f("untied", recipe.untied, Change::forbidden);
  f("seed", recipe.seed, Change::forbidden);
  f("dropout", recipe.dropout, Change::allowed);
  f("batch", recipe.batch, Change::allowed);
  f("steps", recipe.steps, Change::allowed);
  f("rate", recipe.rate, Change::allowed);
  f("least-rate", recipe.least_rate, Change::allowed);
  f("warmup", recipe.warmup, Change::allowed);
  f("beta1", recipe.beta1, Change::allowed);
  f("beta2", recipe.beta2, Change::allowed);
  f("weight-decay", recipe.weight_decay, Change::allowed);
  f("clip", recipe.clip, Change::allowed);
}

/// UserError that begins with `where` and names the flag: a value that no run can have. The same for flags and for what
/// a save holds.
void validate(const Recipe& recipe, const std::string& where);

/// JSON, and back. UserError: it is no recipe.
std::string to_json(const Recipe& recipe);
Recipe from_json(const std::string& json);

}  // namespace train_gpt
