#include "sampler.h"

#include <weft/graph/at_batch.h>
#include <weft/optim/training_step.h>
#include <weft/runtime/random.h>

#include <algorithm>
#include <cmath>

namespace train_gpt {

using weft::Tensor;

Sampler::Sampler(const weft::Value& logits, weft::Store& store)
    : logits_(logits), store_(&store), program_(weft::at_batch(weft::inference({logits}), 1), store) {}

std::vector<std::int32_t> Sampler::draw(std::span<const std::int32_t> prompt, std::int64_t count, double temperature) {
  const auto context = static_cast<std::size_t>(logits_.shape().extent(1));
  const std::int64_t vocabulary = logits_.shape().extent(2);
  const weft::RandomKey key = weft::random_key(store_->seed(), "sample");
  Tensor window(weft::i32, {1, static_cast<std::int64_t>(context)});
  std::vector<std::int32_t> tokens(prompt.begin(), prompt.end());
  std::vector<double> weights(static_cast<std::size_t>(vocabulary));
  for (std::int64_t i = 0; i < count; ++i) {
    // What lies after the last token is not seen by it.
    const std::size_t seen = std::min(context, tokens.size());
    std::copy(tokens.end() - static_cast<std::ptrdiff_t>(seen), tokens.end(), window.data<std::int32_t>());
    const Tensor logits = program_.run({{"tokens", window}}).tensor(logits_);
    const std::int64_t last = static_cast<std::int64_t>(seen - 1) * vocabulary;
    for (std::int64_t c = 0; c < vocabulary; ++c)
      weights[static_cast<std::size_t>(c)] = logits.at(last + c) / temperature;
    const double most = *std::ranges::max_element(weights);
    double sum = 0;
    for (double& weight : weights) sum += weight = std::exp(weight - most);

    double u = 0;
    weft::uniform_fill(&u, 1, 0, key, static_cast<std::uint64_t>(i));
    double rest = u * sum;
    std::size_t chosen = 0;
    while (chosen + 1 < weights.size() && rest >= weights[chosen]) rest -= weights[chosen++];
    tokens.push_back(static_cast<std::int32_t>(chosen));
  }
  tokens.erase(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(prompt.size()));
  return tokens;
}

}  // namespace train_gpt
