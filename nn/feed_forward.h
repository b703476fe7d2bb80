// Two products with an activation between them, as in torch.nn.TransformerEncoderLayer.
#pragma once

#include <weft/nn/linear.h>
#include <weft/ops/feed_forward.h>

#include <optional>
#include <source_location>
#include <string>

namespace weft::nn {

struct FeedForwardConfig {
  std::int64_t width = 0;
  std::int64_t hidden = 0;  ///< 0: 4 width
  bool bias = true;
  std::string activation = "gelu";  ///< relu, gelu (exact), gelu_tanh or silu
  DType dtype = f32;
  std::optional<Initializer> init = {};       ///< of both weights (nn/linear.h)
  std::optional<Initializer> down_init = {};  ///< of the second weight; init if not given
};

/// y = f(x up^T + bias) down^T + bias. Parameters NAME/up/weight [hidden, width], NAME/down/weight [width, hidden], biases.
struct FeedForward {
  std::string name, activation;
  Linear up, down;

  FeedForward() = default;
  FeedForward(Graph graph, std::string path, const FeedForwardConfig& config,
              std::source_location where = std::source_location::current())
      : name(std::move(path)), activation(config.activation) {
    const auto scope = graph.scope(name, where);
    const std::int64_t hidden = config.hidden == 0 ? 4 * config.width : config.hidden;
    up = Linear(graph, "up", {.in = config.width, .out = hidden, .bias = config.bias, .dtype = config.dtype, .init = config.init},
                where);
    down = Linear(graph, "down", {.in = hidden, .out = config.width, .bias = config.bias, .dtype = config.dtype,
                                  .init = config.down_init ? config.down_init : config.init}, where);
  }

  /// x [.., width] -> [.., width], as one op.
  Value operator()(const Arg& x) const {
    const auto scope = up.weight.graph().scope(name, x.where());
    return feed_forward(x, up.weight, down.weight, {.bias1 = up.bias, .bias2 = down.bias, .activation = activation});
  }
};

}  // namespace weft::nn
