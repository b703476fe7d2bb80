#include <weft/ops/attention/score_modifiers.h>

#include <weft/ops/index/index.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/movement.h>

#include <cstring>
#include <utility>

namespace weft::modifiers {
namespace {

void expect_heads(const AttentionScore& s, std::int64_t heads, const char* what) {
  const std::int64_t have = s.head.shape().extent(0);
  WEFT_CHECK(have == heads, "{} of {} heads, but attention has {}", what, heads, have);
}

// A table of numbers, read by take().
template <class T>
Value table(const Graph& graph, const std::vector<T>& numbers, DType dtype) {
  Constant constant{{dtype, {static_cast<std::int64_t>(numbers.size())}},
                    std::vector<std::byte>(numbers.size() * sizeof(T))};
  std::memcpy(constant.bytes.data(), numbers.data(), constant.bytes.size());
  return Graph(graph).constant(std::move(constant));
}

Value distance(const AttentionScore& s) { return cast(abs(s.position - s.key), s.score.dtype()); }

}  // namespace

ScoreModifier alibi(std::int64_t heads) {
  const std::vector<double> slopes = alibi_slopes(heads);
  return [heads, slopes](const AttentionScore& s) {
    expect_heads(s, heads, "ALiBi's slopes are");
    const Value slope = cast(take(table(s.score.graph(), slopes, f64), s.head), s.score.dtype());
    return s.score - slope * distance(s);
  };
}

ScoreModifier alibi(const Value& slopes) {
  WEFT_CHECK(slopes.valid() && slopes.rank() == 1 && is_float(slopes.dtype()),
             "ALiBi's slopes must be [heads] of a floating type, got {}",
             slopes.valid() ? slopes.type().str() : "nothing");
  const Value column = reshape(slopes, {slopes.dim(0), 1, 1});
  return [column](const AttentionScore& s) {
    expect_heads(s, column.shape().extent(0), "ALiBi's slopes are");
    return s.score - column * distance(s);
  };
}

ScoreModifier relative_buckets(const Value& weight, const RelativeBucketOptions& options) {
  const std::vector<std::int64_t> buckets = weft::relative_buckets(options);
  WEFT_CHECK(weight.valid() && weight.rank() == 2 && weight.shape().extent(0) == options.buckets,
             "a bias by relative buckets needs a weight [buckets={}, heads], got {}", options.buckets,
             weight.valid() ? weight.type().str() : "nothing");
  return [=](const AttentionScore& s) {
    const std::int64_t heads = weight.shape().extent(1);
    expect_heads(s, heads, "the bias by relative buckets is");
    const double most = static_cast<double>(options.max_distance);
    const Value place = clamp(s.key - s.position, {.min = -most, .max = most}) + options.max_distance;
    const Value bucket = take(table(s.score.graph(), buckets, i64), place);
    return s.score + take(weight, bucket * heads + s.head);
  };
}

ScoreModifier relative_distances(const Value& weight) {
  WEFT_CHECK(weight.valid() && weight.rank() == 2 && weight.shape().extent(1) % 2 == 1,
             "a bias by relative distances needs a weight [heads, 2 most + 1], got {}",
             weight.valid() ? weight.type().str() : "nothing");
  return [=](const AttentionScore& s) {
    const std::int64_t places = weight.shape().extent(1), most = places / 2;
    expect_heads(s, weight.shape().extent(0), "the bias by relative distances is");
    const Value place =
        clamp(s.key - s.position, {.min = -static_cast<double>(most), .max = static_cast<double>(most)}) + most;
    return s.score + take(weight, s.head * places + place);
  };
}

ScoreModifier chain(std::vector<ScoreModifier> modifiers) {
  return [modifiers = std::move(modifiers)](AttentionScore s) {
    for (const ScoreModifier& modify : modifiers) s.score = modify(s);
    return s.score;
  };
}

}  // namespace weft::modifiers
