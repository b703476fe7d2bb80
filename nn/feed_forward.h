// The feed-forward block of a transformer: two linear layers with an activation between them, as in
// torch.nn.TransformerEncoderLayer.
#pragma once

#include <weft/nn/linear.h>

#include <optional>
#include <source_location>
#include <string>

namespace weft::nn {

struct FeedForwardConfig {
  std::int64_t width = 0;
  std::int64_t hidden = 0;  ///< 0: 4 width
  bool bias = true;
  std::string activation = "gelu";  ///< by name, as ops/product/feed_forward.h lists them
  double dropout = 0;               ///< of the activations of the hidden layer, in training
  DType dtype = f32;
  std::optional<Initializer> init = {};       ///< of both weights (nn/linear.h)
  std::optional<Initializer> down_init = {};  ///< of the second weight; init if not given
};

/// y = f(x up^T + bias) down^T + bias. Parameters NAME/up/weight [hidden, width], NAME/down/weight [width, hidden],
/// biases.
struct FeedForward {
  std::string name, activation;
  double dropout = 0;
  Linear up, down;

  FeedForward() = default;
  FeedForward(Graph graph, std::string path, const FeedForwardConfig& config,
              std::source_location where = std::source_location::current());

  /// x [.., width] -> [.., width]; one op if dropout is 0.
  Value operator()(const Arg& x) const;
};

}  // namespace weft::nn
