#include <weft/ops/attention_plain.h>
#include <weft/ops/arithmetic.h>
#include <weft/ops/build.h>
#include <weft/ops/creation.h>
#include <weft/ops/dropout.h>
#include <weft/ops/matmul.h>
#include <weft/ops/movement.h>
#include <weft/ops/reduce.h>
#include <weft/ops/softmax_rows.h>
#include <weft/ops/unary.h>

#include <cmath>

namespace weft {

AttentionLaw::AttentionLaw(const Attributes& attributes)
    : scale(attributes.number("scale")),
      soft_cap(attributes.get_or<double>("soft_cap", 0)),
      dropout(attributes.get_or<double>("dropout", 0)),
      causal(attributes.flag("causal")),
      window(attributes.get_or<std::int64_t>("window", 0)),
      offset(attributes.get_or<std::int64_t>("offset", 0)),
      stream(attributes.get_or<std::int64_t>("stream", 0)) {}

AttentionLaw::AttentionLaw(const AttentionOptions& options, std::int64_t width, std::int64_t default_offset)
    : scale(options.scale.value_or(1 / std::sqrt(static_cast<double>(width))) / options.temperature),
      soft_cap(options.soft_cap),
      clip(options.clip),
      dropout(options.dropout),
      fill(options.fill),
      causal(options.causal),
      window(options.window),
      offset(options.offset.value_or(default_offset)),
      stream(options.stream.value_or(0)),
      score(options.score) {}

Attributes AttentionLaw::attributes() const {
  Attributes attributes{{"scale", scale}};
  if (soft_cap != 0) attributes.set("soft_cap", soft_cap);
  if (dropout != 0) {
    attributes.set("dropout", dropout);
    attributes.set("stream", stream);
  }
  if (causal) attributes.set("causal", true);
  if (window != 0) attributes.set("window", window);
  if (causal || window != 0) attributes.set("offset", offset);
  return attributes;
}

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Value wide(const Value& x) { return x.dtype() == bf16 || x.dtype() == f16 ? cast(x, f32) : x; }

// [batch, time, heads, width] with kv_heads -> [batch, kv_heads, heads / kv_heads, time, width]
Value grouped(const Value& x, const Dim& kv_heads) {
  return transpose(reshape(wide(x), {x.dim(0), x.dim(1), kv_heads, x.dim(2) / kv_heads, x.dim(3)}), {0, 2, 3, 1, 4});
}
// and back, of the type of `like`
Value ungrouped(const Value& x, const Value& like) {
  return cast(reshape(transpose(x, {0, 3, 1, 2, 4}), like.shape()), like.dtype());
}
// [batch, kv_heads, group, rows, cols] <-> [batch, heads, rows, cols]
Value merged(const Value& x) { return reshape(x, {x.dim(0), x.dim(1) * x.dim(2), x.dim(3), x.dim(4)}); }
Value split(const Value& x, const Dim& kv_heads) {
  return reshape(x, {x.dim(0), kv_heads, x.dim(1) / kv_heads, x.dim(2), x.dim(3)});
}
Value transposed(const Value& x) { return transpose(x, {0, 1, 2, 4, 3}); }

// An integer [batch] or [] against [batch, heads, time_q, time_k].
Value per_example(const Value& x) {
  return cast(x.rank() == 0 ? x : reshape(x, {x.dim(0), 1, 1, 1}), i64);
}

// Which keys each query sees; absent: all of them.
Value seen(const Value& q, const Value& k, const AttentionMasks& masks, const AttentionLaw& law) {
  const Value key = iota(q.graph(), k.dim(1));
  const Value query = reshape(iota(q.graph(), q.dim(1)), {q.dim(1), 1});
  const Value position = masks.start.absent() ? query + law.offset : query + per_example(masks.start);
  Value result;
  const auto also = [&](const Value& mask) { result = result.absent() ? mask : logical_and(result, mask); };
  if (law.causal) also(less_equal(key, position));
  if (law.window > 0) {
    also(greater(key, position - law.window));
    also(less(key, position + law.window));
  }
  if (!masks.lengths.absent()) also(less(key, per_example(masks.lengths)));
  if (!masks.mask.absent()) also(masks.mask);
  return result;
}

struct Scores {
  Value s;      ///< masked
  Value slope;  ///< derivative of the soft cap; absent without one
};

Scores scores_of(const Value& q, const Value& k, const AttentionMasks& masks, const AttentionLaw& law) {
  const Dim kv_heads = k.dim(2);
  Value s = merged(matmul(grouped(q, kv_heads), transposed(grouped(k, kv_heads)))) * law.scale, slope;
  if (law.clip > 0) s = minimum(maximum(s, -law.clip), law.clip);
  if (law.soft_cap > 0) {
    const Value capped = tanh(s / law.soft_cap);
    slope = 1.0 - square(capped);
    s = capped * law.soft_cap;
  }
  if (law.score) {
    const Graph graph = q.graph();
    s = law.score({.score = s,
                   .batch = reshape(iota(graph, q.dim(0)), {q.dim(0), 1, 1, 1}),
                   .head = reshape(iota(graph, q.dim(2)), {q.dim(2), 1, 1}),
                   .query = reshape(iota(graph, q.dim(1)), {q.dim(1), 1}),
                   .key = iota(graph, k.dim(1))});
  }
  if (!masks.bias.absent()) s = s + wide(masks.bias);
  if (const Value visible = seen(q, k, masks, law); !visible.absent()) s = where(visible, s, law.fill);
  return {s, slope};
}

Value dropped(const Value& x, const AttentionLaw& law) {
  if (law.dropout == 0) return x;
  return build(dropout_op(), {x}, {{"p", law.dropout}, {"stream", law.stream}});
}

}  // namespace

Value plain_attention_weights(const Value& q, const Value& k, const AttentionMasks& masks, const AttentionLaw& law,
                              Value* logsumexp) {
  const Value s = scores_of(q, k, masks, law).s;
  const Value top = along::highest_along(s, -1);
  const Value shift = where(equal(top, -infinity), 0.0, top);
  const Value e = exp(s - shift);
  const Value sum_e = sum(e, {.axes = {-1}, .keep = true});
  const Value none = equal(sum_e, 0.0);
  const Value divisor = where(none, 1.0, sum_e);
  if (logsumexp != nullptr)
    *logsumexp = reshape(where(none, -infinity, log(divisor) + shift), {s.dim(0), s.dim(1), s.dim(2)});
  return e / divisor;
}

Values plain_attention(const Value& q, const Value& k, const Value& v, const AttentionMasks& masks,
                       const AttentionLaw& law) {
  const Dim kv_heads = k.dim(2);
  Value logsumexp;
  const Value p = plain_attention_weights(q, k, masks, law, &logsumexp);
  const Value y = matmul(split(dropped(p, law), kv_heads), grouped(v, kv_heads));
  const Value layout = transpose(y, {0, 3, 1, 2, 4});
  return {cast(reshape(layout, {q.dim(0), q.dim(1), q.dim(2), v.dim(3)}), q.dtype()), logsumexp};
}

namespace {

struct ScoreGradient {
  Value p_keep, d_s, slope;
};

ScoreGradient score_gradient(const AttentionCotangents& in, const AttentionLaw& law) {
  const Dim kv_heads = in.k.dim(2);
  const auto [s, slope] = scores_of(in.q, in.k, in.masks, law);
  const auto column = [](const Value& x) { return reshape(x, {x.dim(0), x.dim(1), x.dim(2), 1}); };
  const Value p = exp(s - column(where(equal(in.logsumexp, -infinity), infinity, in.logsumexp)));
  const Value d_p = dropped(merged(matmul(grouped(in.d_y, kv_heads), transposed(grouped(in.v, kv_heads)))), law);
  Value inner = transpose(sum(wide(in.d_y) * wide(in.y), {.axes = {-1}}), {0, 2, 1});
  if (!in.d_logsumexp.absent()) inner = inner - in.d_logsumexp;
  return {dropped(p, law), p * (d_p - column(inner)), slope};
}

}  // namespace

Values plain_attention_backward(const AttentionCotangents& in, const AttentionLaw& law) {
  const Dim kv_heads = in.k.dim(2);
  const ScoreGradient gradient = score_gradient(in, law);
  Value d_s = gradient.d_s * law.scale;
  if (!gradient.slope.absent()) d_s = d_s * gradient.slope;
  const Value d_products = split(d_s, kv_heads), p = split(gradient.p_keep, kv_heads);
  const Value d_q = matmul(d_products, grouped(in.k, kv_heads));
  const auto over_group = [](const Value& x) { return sum(x, {.axes = {2}, .keep = true}); };
  const Value d_k = over_group(matmul(transposed(d_products), grouped(in.q, kv_heads)));
  const Value d_v = over_group(matmul(transposed(p), grouped(in.d_y, kv_heads)));
  return {ungrouped(d_q, in.q), ungrouped(d_k, in.k), ungrouped(d_v, in.v)};
}

Value plain_attention_d_scores(const AttentionCotangents& in, const AttentionLaw& law) {
  return score_gradient(in, law).d_s;
}

}  // namespace weft
