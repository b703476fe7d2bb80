// A pre-norm layer of a transformer decoder, with causal self-attention.
#pragma once

#include <weft/nn/attention.h>
#include <weft/nn/dropout.h>
#include <weft/nn/feed_forward.h>
#include <weft/nn/layer_norm.h>
#include <weft/ops/pointwise/arithmetic.h>

#include <optional>
#include <source_location>
#include <string>

namespace weft::nn {

struct BlockConfig {
  std::int64_t width = 0, heads = 1;
  std::int64_t hidden = 0;  ///< of the feed-forward; 0: 4 width
  double dropout = 0;       ///< of the attention weights and of both branches
  bool bias = true;
  std::string activation = "gelu";
  double norm_eps = 1e-5;
  DType dtype = f32;
  std::optional<Initializer> init = {};
  std::optional<Initializer> residual_init = {};  ///< of the two projections that end in the residual stream
};

/// x + attention(norm(x)), then x + feed_forward(norm(x)): pre-norm (Xiong et al. 2020, arXiv:2002.04745, figure 1b).
/// Parameters NAME/{attention_norm,attention,feed_forward_norm,feed_forward}/...
struct Block {
  std::string name;
  Dropout dropout;
  LayerNorm attention_norm, feed_forward_norm;
  CausalSelfAttention attention;
  FeedForward feed_forward;

  Block() = default;
  Block(Graph graph, std::string path, const BlockConfig& config,
        std::source_location where = std::source_location::current())
      : name(std::move(path)), dropout{config.dropout} {
    const auto scope = graph.scope(name, where);
    const LayerNormConfig norm{
        .width = config.width, .bias = config.bias, .eps = config.norm_eps, .dtype = config.dtype};
    attention_norm = LayerNorm(graph, "attention_norm", norm, where);
    attention = CausalSelfAttention(graph, "attention",
                                    {.width = config.width,
                                     .heads = config.heads,
                                     .bias = config.bias,
                                     .dropout = config.dropout,
                                     .dtype = config.dtype,
                                     .init = config.init,
                                     .out_init = config.residual_init},
                                    where);
    feed_forward_norm = LayerNorm(graph, "feed_forward_norm", norm, where);
    feed_forward = FeedForward(graph, "feed_forward",
                               {.width = config.width,
                                .hidden = config.hidden,
                                .bias = config.bias,
                                .activation = config.activation,
                                .dtype = config.dtype,
                                .init = config.init,
                                .down_init = config.residual_init},
                               where);
  }

  /// x [batch, time, width] -> the same.
  Value operator()(const Arg& x) const {
    const auto scope = attention_norm.weight.graph().scope(name, x.where());
    const Value seen = add(x, dropout(attention(attention_norm(x))));
    return add(seen, dropout(feed_forward(feed_forward_norm(seen))));
  }
};

}  // namespace weft::nn
