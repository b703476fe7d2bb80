// A GPT: a decoder that predicts the next token (Radford et al. 2019, "Language Models are Unsupervised Multitask
// Learners").
#pragma once

#include <weft/nn/block.h>
#include <weft/nn/embedding.h>

#include <source_location>
#include <string>
#include <vector>

namespace weft::nn {

struct GptConfig {
  std::int64_t vocab = 0, layers = 0, heads = 0, width = 0;
  std::int64_t context = 0;         ///< the most tokens of a call; the number of learned positions
  std::int64_t hidden = 0;          ///< of the feed-forward; 0: 4 width
  double dropout = 0;               ///< of the embeddings, the attention weights and both branches of a block
  bool bias = true;                 ///< of the projections and norms; the head has none
  bool tied = true;                 ///< the head's weight is the token embedding's
  std::string activation = "gelu";  ///< exact
  double norm_eps = 1e-5;
  /// Standard deviation of the initial weights; divided by sqrt(2 layers) for the last projection of each residual
  /// branch.
  double deviation = 0.02;
  DType dtype = f32;
};

/// Parameters embedding/tokens/weight [vocab, width], embedding/positions/weight [context, width], decoder/0/...
/// (nn/block.h), norm/{weight,bias}, and head/weight [vocab, width] where the head is not tied.
///
///   nn::Gpt model(graph, {.vocab = 65, .layers = 6, .heads = 6, .width = 384, .context = 256});
///   Value logits = model(tokens);
///
/// UserError: a size that is not positive, heads that do not divide width.
struct Gpt {
  GptConfig config;
  Embedding tokens, positions;
  Dropout dropout;
  std::vector<Block> blocks;
  LayerNorm norm;
  Value head;  ///< [vocab, width]

  Gpt(Graph graph, const GptConfig& options, std::source_location where = std::source_location::current());
  Gpt(const Gpt&);  // these five are compiled once, in gpt.cpp
  Gpt(Gpt&&) noexcept;
  Gpt& operator=(const Gpt&);
  Gpt& operator=(Gpt&&) noexcept;
  ~Gpt();

  /// ids [batch, time] of i32 or i64, time <= context -> logits [batch, time, vocab].
  Value operator()(const Arg& ids) const;
};

}  // namespace weft::nn
