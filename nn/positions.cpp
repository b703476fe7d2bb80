#include <weft/nn/positions.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/movement.h>

namespace weft::nn {
namespace {

void expect_tokens(const Value& x, const char* who, std::source_location where) {
  WEFT_CHECK(x.rank() == 3 && is_float(x.dtype()), "{} ({}) are added to embeddings [batch, time, width], got {}", who,
             str(where), x.type().str());
}

}  // namespace

Value SinusoidalPositions::operator()(const Arg& arg, const PositionOffset& from) const {
  const Value& x = arg.value();
  if (!x.valid()) return x;
  expect_tokens(x, "sinusoidal positions", arg.where());
  const Value rows = sinusoidal_positions(x.graph(), x.dim(1), x.shape().extent(2),
                                          {.base = base, .dtype = x.dtype(), .from = from}, arg.where());
  return weft::dropout(x + rows, dropout);
}

LearnedPositions::LearnedPositions(Graph graph, std::string path, const LearnedPositionsConfig& config,
                                   std::source_location where)
    : name(std::move(path)),
      longest(config.longest),
      dropout(config.dropout),
      table(graph, name, {.count = config.longest, .width = config.width, .dtype = config.dtype, .init = config.init},
            where) {}

Value LearnedPositions::operator()(const Arg& arg, const PositionOffset& from) const {
  const Value& x = arg.value();
  if (!x.valid()) return x;
  expect_tokens(x, "learned positions", arg.where());
  const std::int64_t end = from.offset + x.shape().extent(1);
  WEFT_CHECK(from.offset >= 0 && end <= longest,
             "learned positions '{}' ({}) end at {}, and positions {} to {} are asked for", name, str(arg.where()),
             longest, from.offset, end);
  return weft::dropout(x + table(position_ids(x.graph(), x.dim(1), i64, from, arg.where())), dropout);
}

RelativePositionBias::RelativePositionBias(Graph graph, std::string path, const RelativePositionBiasConfig& config,
                                           std::source_location where)
    : name(std::move(path)),
      buckets(config.buckets),
      table(graph, name,
            {.count = config.buckets.buckets, .width = config.heads, .dtype = config.dtype, .init = config.init},
            where) {
  relative_buckets(buckets);  // its errors, here
}

Value RelativePositionBias::operator()(Dim time_q, Dim time_k, const PositionOffset& from,
                                       std::source_location where) const {
  const Value ids = relative_bucket_ids(table.weight.graph(), time_q, time_k, buckets, from, where);
  const Value bias = table(ids);  // [.., time_q, time_k, heads]
  return bias.rank() == 3 ? transpose(bias, {2, 0, 1}) : transpose(bias, {0, 3, 1, 2});
}

RelativePositionVectors::RelativePositionVectors(Graph graph, std::string path,
                                                 const RelativePositionVectorsConfig& config,
                                                 std::source_location where)
    : name(std::move(path)), max_distance(config.max_distance) {
  WEFT_CHECK(
      config.max_distance >= 0 && config.width > 0 && config.heads >= 0 && config.value_width >= 0,
      "RelativePositionVectors '{}' ({}) needs a width and nothing negative, got max_distance {}, width {}, heads {}, "
      "value_width {}",
      name, str(where), config.max_distance, config.width, config.heads, config.value_width);
  const auto scope = graph.scope(name, where);
  const auto table = [&](const char* which, std::int64_t width) {
    const std::int64_t rows = 2 * config.max_distance + 1;
    const Shape shape = config.heads == 0 ? Shape{rows, width} : Shape{rows, config.heads, width};
    return graph.parameter(which, {config.dtype, shape}, config.init);
  };
  keys = table("keys", config.width);
  if (config.value_width > 0) values = table("values", config.value_width);
}

Value RelativePositionVectors::operator()(const Arg& q, Dim time_k, const PositionOffset& from) const {
  const auto scope = keys.graph().scope(name, q.where());
  return relative_key_scores(q, keys, time_k, {.max_distance = max_distance, .from = from});
}

Value RelativePositionVectors::of_values(const Arg& weights, const PositionOffset& from) const {
  WEFT_CHECK(values.valid(), "RelativePositionVectors '{}' ({}) has no vectors for values; hint: value_width", name,
             str(weights.where()));
  const auto scope = keys.graph().scope(name, weights.where());
  return relative_values(weights, values, {.max_distance = max_distance, .from = from});
}

DisentangledPositions::DisentangledPositions(Graph graph, std::string path, const DisentangledPositionsConfig& config,
                                             std::source_location where)
    : name(std::move(path)), max_distance(config.max_distance), heads(config.heads), head_width(config.head_width) {
  WEFT_CHECK(
      max_distance > 0 && config.width > 0 && heads > 0 && head_width > 0 &&
          (config.content_to_position || config.position_to_content),
      "DisentangledPositions '{}' ({}) needs positive sizes and a term, got max_distance {}, width {}, heads {}, "
      "head_width {}",
      name, str(where), max_distance, config.width, heads, head_width);
  const auto scope = graph.scope(name, where);
  const auto linear_of = [&](const char* which, bool bias) {
    return Linear(
        graph, which,
        {.in = config.width, .out = heads * head_width, .bias = bias, .dtype = config.dtype, .init = config.init},
        where);
  };
  if (config.content_to_position) key = linear_of("key", false);
  if (config.position_to_content) query = linear_of("query", true);
}

AttentionOptions DisentangledPositions::operator()(const Arg& table, const Arg& q, const Arg& k,
                                                   const PositionOffset& from) const {
  const Value& rows = table.value();
  Graph graph = (key.weight.valid() ? key : query).weight.graph();
  const auto scope = graph.scope(name, table.where());
  if (!rows.valid()) return {.bias = rows};
  WEFT_CHECK(rows.rank() == 2 && rows.shape().extent(0) == 2 * max_distance,
             "DisentangledPositions '{}' ({}): distances up to {} need a table of {} positions, got {}", name,
             str(table.where()), max_distance, 2 * max_distance, rows.type().str());
  const auto projected = [&](const Linear& linear) {
    return linear.weight.valid() ? reshape(linear(rows), {2 * max_distance, heads, head_width}) : Value{};
  };
  const Value position_keys = projected(key), position_queries = projected(query);
  const int terms = static_cast<int>(position_keys.valid()) + static_cast<int>(position_queries.valid());
  return {
      .bias = disentangled_scores(q, k, position_keys, position_queries, {.max_distance = max_distance, .from = from}),
      .scale = disentangled_scale(head_width, terms)};
}

}  // namespace weft::nn
