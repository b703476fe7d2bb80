#include <weft/nn/attention.h>
#include <weft/ops/movement.h>

namespace weft::nn {

MultiheadAttention::MultiheadAttention(Graph graph, std::string path, const MultiheadAttentionConfig& config,
                                       std::source_location where)
    : name(std::move(path)),
      heads(config.heads),
      kv_heads(config.kv_heads == 0 ? config.heads : config.kv_heads),
      dropout(config.dropout) {
  WEFT_CHECK(heads > 0 && config.width > 0 && config.width % heads == 0,
             "attention '{}' ({}): the width must be a positive multiple of heads, got width {} and {} heads", name,
             str(where), config.width, heads);
  WEFT_CHECK(kv_heads > 0 && heads % kv_heads == 0,
             "attention '{}' ({}): kv_heads must divide heads, got {} kv_heads and {} heads", name, str(where), kv_heads,
             heads);
  head_width = config.width / heads;
  const auto scope = graph.scope(name, where);
  auto linear_of = [&](const char* part, std::int64_t in, std::int64_t out_width, const std::optional<Initializer>& init) {
    return Linear(graph, part, {.in = in == 0 ? config.width : in, .out = out_width, .bias = config.bias,
                                .dtype = config.dtype, .init = init}, where);
  };
  query = linear_of("query", config.width, config.width, config.init);
  key = linear_of("key", config.key_width, kv_heads * head_width, config.init);
  value = linear_of("value", config.value_width, kv_heads * head_width, config.init);
  out = linear_of("out", config.width, config.width, config.out_init ? config.out_init : config.init);
}

Value MultiheadAttention::operator()(const Arg& q, const Arg& k, const Arg& v, AttentionOptions options) const {
  const auto scope = out.weight.graph().scope(name, q.where());
  options.dropout = dropout;
  // [batch, time, count * head_width] -> [batch, time, count, head_width]
  auto split = [this](const Value& x, std::int64_t count) {
    if (!x.valid() || x.rank() != 3) return x;  // attention reports the shape
    return reshape(x, {x.dim(0), x.dim(1), count, head_width});
  };
  const Value y = attention(split(query(q), heads), split(key(k), kv_heads), split(value(v), kv_heads), options);
  if (!y.valid()) return y;
  return out(reshape(y, {y.dim(0), y.dim(1), heads * head_width}));
}

}  // namespace weft::nn
