#include <weft/nn/positions.h>
#include <weft/ops/arithmetic.h>
#include <weft/ops/movement.h>

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

}  // namespace weft::nn
