#include <weft/nn/gpt.h>
#include <weft/ops/shape/movement.h>

#include <cmath>

namespace weft::nn {

Gpt::Gpt(const Gpt&) = default;
Gpt::Gpt(Gpt&&) noexcept = default;
Gpt& Gpt::operator=(const Gpt&) = default;
Gpt& Gpt::operator=(Gpt&&) noexcept = default;
Gpt::~Gpt() = default;

Gpt::Gpt(Graph graph, const GptConfig& options, std::source_location where)
    : config(options), dropout{options.dropout} {
  WEFT_CHECK(config.vocab > 0 && config.layers > 0 && config.heads > 0 && config.width > 0 && config.context > 0,
             "Gpt ({}) needs positive sizes, got vocab {}, layers {}, heads {}, width {}, context {}", str(where),
             config.vocab, config.layers, config.heads, config.width, config.context);
  WEFT_CHECK(config.width % config.heads == 0, "Gpt ({}): heads must divide width, got {} heads and width {}",
             str(where), config.heads, config.width);
  WEFT_CHECK(config.dropout >= 0 && config.dropout < 1, "Gpt ({}): dropout must be in [0, 1), got {}", str(where),
             config.dropout);
  const auto line = graph.scope("", where);
  const Initializer init = init::normal(0, config.deviation);
  const Initializer residual = init::normal(0, config.deviation / std::sqrt(2.0 * static_cast<double>(config.layers)));
  {
    const auto scope = graph.scope("embedding");
    tokens = Embedding(graph, "tokens",
                       {.count = config.vocab, .width = config.width, .dtype = config.dtype, .init = init}, where);
    positions = Embedding(graph, "positions",
                          {.count = config.context, .width = config.width, .dtype = config.dtype, .init = init}, where);
  }
  const BlockConfig block{.width = config.width,
                          .heads = config.heads,
                          .hidden = config.hidden,
                          .dropout = config.dropout,
                          .bias = config.bias,
                          .activation = config.activation,
                          .norm_eps = config.norm_eps,
                          .dtype = config.dtype,
                          .init = init,
                          .residual_init = residual};
  for (std::int64_t i = 0; i < config.layers; ++i)
    blocks.emplace_back(graph, fmt::format("decoder/{}", i), block, where);
  norm = LayerNorm(graph, "norm",
                   {.width = config.width, .bias = config.bias, .eps = config.norm_eps, .dtype = config.dtype}, where);
  head =
      config.tied
          ? tokens.weight
          : Linear(graph, "head",
                   {.in = config.width, .out = config.vocab, .bias = false, .dtype = config.dtype, .init = init}, where)
                .weight;
}

Value Gpt::operator()(const Arg& ids) const {
  Graph graph = head.graph();
  const auto line = graph.scope("", ids.where());
  Value x;
  {
    const auto scope = graph.scope("embedding");
    x = tokens(ids);
    if (!x.valid()) return x;
    const std::int64_t time = x.rank() == 3 ? x.shape().extent(1) : 0;
    if (time == 0 || time > config.context) {
      graph.add_problem({"embedding", ids.where(),
                         fmt::format("Gpt needs tokens [batch, time] with time at most its context of {}, got {}",
                                     config.context, ids.value().type().str()),
                         ""});
      return {graph.data(), {}};
    }
    x = add(x, time == config.context ? positions.weight : slice(positions.weight, {.axis = 0, .stop = time}));
    x = dropout(x);
  }
  for (const Block& block : blocks) x = block(x);
  x = norm(x);
  const auto scope = graph.scope("head");
  return linear(x, head);
}

}  // namespace weft::nn
