#include <weft/ops/attention/plain.h>

#include <weft/ops/attention/shape.h>
#include <weft/ops/index/index.h>
#include <weft/ops/index/sort.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/norm/softmax_rows.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/dropout.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <cmath>
#include <span>

namespace weft {

AttentionMasks attention_masks(const Values& in, int first_capture) {
  const auto operand = [&](int i) {
    return static_cast<std::size_t>(i) < in.size() ? in[static_cast<std::size_t>(i)] : Value{};
  };
  AttentionMasks masks{operand(AttentionIn::bias),
                       operand(AttentionIn::mask),
                       operand(AttentionIn::lengths),
                       operand(AttentionIn::start),
                       {}};
  for (std::size_t i = static_cast<std::size_t>(first_capture); i < in.size(); ++i) masks.captures.push_back(in[i]);
  return masks;
}

namespace {

std::shared_ptr<const ScoreFunction> function_of(const Attributes& attributes, const char* name) {
  if (!attributes.has(name)) return nullptr;
  return std::dynamic_pointer_cast<const ScoreFunction>(attributes.get<std::shared_ptr<const Description>>(name));
}

}  // namespace

AttentionLaw::AttentionLaw(const Attributes& attributes)
    : ScoreRule(attributes),
      score_data(function_of(attributes, "score")),
      pairs_data(function_of(attributes, "pairs")),
      derivative(function_of(attributes, "score_derivative")),
      d_bias(attributes.flag("d_bias")) {}

AttentionLaw::AttentionLaw(const AttentionOptions& options, std::int64_t width, std::int64_t default_offset)
    : ScoreRule(options, width, default_offset),
      clip(options.clip),
      keep_share(options.keep_share),
      fill(options.fill),
      plain(options.method == AttentionMethod::plain),
      score(options.score),
      pairs(options.pairs) {}

Attributes AttentionLaw::attributes() const {
  Attributes attributes = ScoreRule::attributes(score_data || pairs_data);
  if (score_data) attributes.set("score", std::shared_ptr<const Description>(score_data));
  if (pairs_data) attributes.set("pairs", std::shared_ptr<const Description>(pairs_data));
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
Value per_example(const Value& x) { return cast(x.rank() == 0 ? x : reshape(x, {x.dim(0), 1, 1, 1}), i64); }

AttentionPlace place_of(const Value& q, const Value& k, const AttentionMasks& masks, const AttentionLaw& law) {
  const Graph graph = q.graph();
  AttentionPlace place;
  place.batch = reshape(iota(graph, q.dim(0)), {q.dim(0), 1, 1, 1});
  place.head = reshape(iota(graph, q.dim(2)), {q.dim(2), 1, 1});
  place.query = reshape(iota(graph, q.dim(1)), {q.dim(1), 1});
  place.key = iota(graph, k.dim(1));
  place.position = masks.start.absent() ? place.query + law.offset : place.query + per_example(masks.start);
  return place;
}

// As `function`'s inputs; the position has the batch's axis.
Values inputs_of(const Value& score, const AttentionPlace& place, std::span<const Value> captures) {
  const Dim batch = score.dim(0), time_q = score.dim(2);
  Values inputs{score,       place.batch, place.head,
                place.query, place.key,   broadcast_to(place.position, {batch, 1, time_q, 1})};
  inputs.insert(inputs.end(), captures.begin(), captures.end());
  return inputs;
}

std::size_t score_captures(const AttentionLaw& law) {
  const ScoreFunction* function = law.derivative ? law.derivative.get() : law.score_data.get();
  return function == nullptr ? 0 : static_cast<std::size_t>(function->captured);
}

// Windows m with m stride <= place < m stride + window: the first, and the last.
struct Windows {
  Value first, last;
};
Windows windows_of(const Value& place, const AttentionLaw& law) {
  return {floor_divide(place - law.window, law.window_stride) + 1, floor_divide(place, law.window_stride)};
}

// Which pairs exist; absent: all of them. `scores`: for what the shape of a pattern's inputs is.
Value seen(const Value& scores, const AttentionPlace& place, const AttentionMasks& masks, const AttentionLaw& law) {
  Value result;
  const auto also = [&](const Value& mask) { result = result.absent() ? mask : logical_and(result, mask); };
  const Value &key = place.key, &position = place.position;
  if (law.causal) also(less_equal(key, position));
  if (law.window > 0 && law.window_stride == 1) {
    also(greater(key, position - law.window));
    also(less(key, position + law.window));
  } else if (law.window > 0) {  // a window that has both
    const Windows of_key = windows_of(key, law), of_query = windows_of(position, law);
    also(less_equal(maximum(of_key.first, of_query.first), minimum(of_key.last, of_query.last)));
  }
  if (law.pairs) also(law.pairs(place));
  if (law.pairs_data) {
    const std::span captures = std::span(masks.captures).subspan(score_captures(law));
    also(law.pairs_data->build(scores.graph(), inputs_of(scores, place, captures)).front());
  }
  if (!masks.lengths.absent()) also(less(key, per_example(masks.lengths)));
  if (!masks.mask.absent()) also(masks.mask);
  return result;
}

// Among each query's admitted scores the highest floor(share n), at least one; of equal ones those of lower keys.
Value highest(const Value& s, const Value& admitted, double share) {
  const Value masked = admitted.absent() ? s : where(admitted, s, -infinity);
  const Value rank = sort(sort(masked, -1, true).indices, -1).indices;
  const Value count = admitted.absent()
                          ? full(s.graph(), {}, f64, static_cast<double>(s.shape().extent(3)))
                          : sum(cast(broadcast_to(admitted, s.shape()), f64), {.axes = {-1}, .keep = true});
  // The share of a whole number may lie a rounding below a whole number.
  const Value kept = maximum(floor(count * share + 1e-9), 1.0);
  const Value high = less(cast(rank, f64), kept);
  return admitted.absent() ? high : logical_and(high, admitted);
}

struct Scores {
  Value raw;    ///< scale <q, k>
  Value s;      ///< masked
  Value slope;  ///< derivative of the soft cap; absent without one
  AttentionPlace place;
};

Scores scores_of(const Value& q, const Value& k, const AttentionMasks& masks, const AttentionLaw& law) {
  const Dim kv_heads = k.dim(2);
  Scores scores;
  scores.place = place_of(q, k, masks, law);
  scores.raw = merged(matmul(grouped(q, kv_heads), transposed(grouped(k, kv_heads)))) * law.scale;
  Value s = scores.raw;
  if (law.clip > 0) s = clamp(s, {.min = -law.clip, .max = law.clip});
  if (law.soft_cap > 0) {
    const Value capped = tanh(s / law.soft_cap);
    scores.slope = 1.0 - square(capped);
    s = capped * law.soft_cap;
  }
  if (law.score) {
    AttentionScore in{scores.place, s};
    s = law.score(in);
  }
  if (const auto& function = law.derivative ? law.derivative : law.score_data; function != nullptr) {
    Values inputs = inputs_of(s, scores.place, std::span(masks.captures).first(score_captures(law)));
    if (function->has_cotangent) inputs.push_back(s);  // output 0 does not read it
    s = function->build(q.graph(), inputs).front();
  }
  if (!masks.bias.absent()) s = s + wide(masks.bias);
  Value visible = seen(scores.raw, scores.place, masks, law);
  if (law.keep_share > 0) visible = highest(s, visible, law.keep_share);
  if (!visible.absent()) s = where(visible, s, law.fill);
  scores.s = s;
  return scores;
}

Value dropped(const Value& x, const AttentionLaw& law) {
  if (law.dropout == 0) return x;
  return build(dropout_op(), {x}, {{"p", law.dropout}, {"stream", law.stream}});
}

}  // namespace

Value plain_attention_weights(const Value& q, const Value& k, const AttentionMasks& masks, const AttentionLaw& law,
                              Value* top, Value* log_sum) {
  const Value s = scores_of(q, k, masks, law).s;
  const Value highest = along::highest_along(s, -1);
  const Value shift = where(equal(highest, -infinity), 0.0, highest);
  const Value e = exp(s - shift);
  const Value sum_e = sum(e, {.axes = {-1}, .keep = true});
  const Value none = equal(sum_e, 0.0);
  const Value divisor = where(none, 1.0, sum_e);
  const Shape rows{s.dim(0), s.dim(1), s.dim(2)};
  if (top != nullptr) *top = reshape(highest, rows);
  if (log_sum != nullptr) *log_sum = reshape(where(none, -infinity, log(divisor)), rows);
  return e / divisor;
}

Values plain_attention(const Value& q, const Value& k, const Value& v, const AttentionMasks& masks,
                       const AttentionLaw& law) {
  const Dim kv_heads = k.dim(2);
  Value top, log_sum;
  const Value p = plain_attention_weights(q, k, masks, law, &top, &log_sum);
  const Value y = matmul(split(dropped(p, law), kv_heads), grouped(v, kv_heads));
  const Value layout = transpose(y, {0, 3, 1, 2, 4});
  return {cast(reshape(layout, {q.dim(0), q.dim(1), q.dim(2), v.dim(3)}), q.dtype()), top, log_sum};
}

namespace {

struct ScoreGradient {
  Value p_keep, d_s;  ///< d_s: of the masked scores
  Scores scores;
};

ScoreGradient score_gradient(const AttentionCotangents& in, const AttentionLaw& law) {
  const Dim kv_heads = in.k.dim(2);
  const Scores scores = scores_of(in.q, in.k, in.masks, law);
  const auto column = [](const Value& x) { return reshape(x, {x.dim(0), x.dim(1), x.dim(2), 1}); };
  const Value none = equal(in.top, -infinity);
  const Value p = exp(scores.s - column(where(none, infinity, in.top)) - column(where(none, 0.0, in.log_sum)));
  const Value d_p = dropped(merged(matmul(grouped(in.d_y, kv_heads), transposed(grouped(in.v, kv_heads)))), law);
  Value inner = transpose(sum(wide(in.d_y) * wide(in.y), {.axes = {-1}}), {0, 2, 1});
  if (!in.d_logsumexp.absent()) inner = inner - in.d_logsumexp;
  return {dropped(p, law), p * (d_p - column(inner)), scores};
}

Value flat(const Value& x) { return reshape(x, {-1}); }

// One gradient for each capture that the derivative has some of, in order.
Values capture_gradients(const ScoreFunction& derivative, const Values& outputs, const Values& captures) {
  Values sums(captures.size());
  for (const auto& gradient : derivative.gradients) {
    const Value& capture = captures[static_cast<std::size_t>(gradient.capture)];
    const Value& numbers = outputs[static_cast<std::size_t>(gradient.output)];
    Value part;
    if (gradient.ids < 0) {
      part = sum_to(numbers, capture.shape());
    } else {
      const Value ids = flat(outputs[static_cast<std::size_t>(gradient.ids)]);
      part = reshape(build(scatter_add_op(), {flat(numbers), ids},
                           {{"axis", std::int64_t{0}}, {"shape", Shape{capture.shape().count()}}}),
                     capture.shape());
    }
    Value& sum = sums[static_cast<std::size_t>(gradient.capture)];
    sum = sum.absent() ? part : sum + part;
  }
  Values result;
  for (std::size_t c = 0; c < sums.size(); ++c)
    if (!sums[c].absent()) result.push_back(cast(sums[c], captures[c].dtype()));
  return result;
}

}  // namespace

Values plain_attention_backward(const AttentionCotangents& in, const AttentionLaw& law) {
  const Dim kv_heads = in.k.dim(2);
  const ScoreGradient gradient = score_gradient(in, law);
  Value d_s = gradient.d_s;
  Values of_scores;  // of the bias and of captures
  if (law.d_bias) of_scores.push_back(cast(sum_to(d_s, in.masks.bias.shape()), in.masks.bias.dtype()));
  if (law.derivative) {
    const std::size_t count = score_captures(law);
    const Values captures(in.masks.captures.begin(), in.masks.captures.begin() + static_cast<std::ptrdiff_t>(count));
    Values inputs = inputs_of(gradient.scores.raw, gradient.scores.place, captures);
    inputs.push_back(d_s);
    const Values outputs = law.derivative->build(in.q.graph(), inputs);
    d_s = outputs[1];
    for (const Value& value : capture_gradients(*law.derivative, outputs, captures)) of_scores.push_back(value);
  }
  d_s = d_s * law.scale;
  if (!gradient.scores.slope.absent()) d_s = d_s * gradient.scores.slope;
  const Value d_products = split(d_s, kv_heads), p = split(gradient.p_keep, kv_heads);
  const Value d_q = matmul(d_products, grouped(in.k, kv_heads));
  const auto over_group = [](const Value& x) { return sum(x, {.axes = {2}, .keep = true}); };
  const Value d_k = over_group(matmul(transposed(d_products), grouped(in.q, kv_heads)));
  const Value d_v = over_group(matmul(transposed(p), grouped(in.d_y, kv_heads)));
  Values result{ungrouped(d_q, in.q), ungrouped(d_k, in.k), ungrouped(d_v, in.v)};
  result.insert(result.end(), of_scores.begin(), of_scores.end());
  return result;
}

}  // namespace weft
