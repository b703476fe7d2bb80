#include <weft/nn/feed_forward.h>

#include <weft/ops/pointwise/activation_table.h>
#include <weft/ops/pointwise/dropout.h>
#include <weft/ops/product/feed_forward.h>

namespace weft::nn {

FeedForward::FeedForward(Graph graph, std::string path, const FeedForwardConfig& config, std::source_location where)
    : name(std::move(path)), activation(config.activation), dropout(config.dropout) {
  WEFT_CHECK(dropout >= 0 && dropout < 1, "FeedForward '{}' ({}): dropout must be in [0, 1), got {}", name, str(where),
             dropout);
  try {
    activation_of({{"activation", activation}});
  } catch (const UserError& error) {
    WEFT_FAIL("FeedForward '{}' ({}): {}", name, str(where), error.reason);
  }
  const auto scope = graph.scope(name, where);
  const std::int64_t hidden = config.hidden == 0 ? 4 * config.width : config.hidden;
  up = Linear(graph, "up",
              {.in = config.width, .out = hidden, .bias = config.bias, .dtype = config.dtype, .init = config.init},
              where);
  down = Linear(graph, "down",
                {.in = hidden,
                 .out = config.width,
                 .bias = config.bias,
                 .dtype = config.dtype,
                 .init = config.down_init ? config.down_init : config.init},
                where);
}

Value FeedForward::operator()(const Arg& x) const {
  const auto scope = up.weight.graph().scope(name, x.where());
  if (dropout == 0)
    return feed_forward(x, up.weight, down.weight, {.bias1 = up.bias, .bias2 = down.bias, .activation = activation});
  return down(weft::dropout(activation_of({{"activation", activation}}).value(up(x)), dropout));
}

}  // namespace weft::nn
