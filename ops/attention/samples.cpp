#include <weft/ops/attention/samples.h>

#include <weft/ops/attention/pairs.h>
#include <weft/ops/attention/score_function.h>
#include <weft/ops/attention/shape.h>
#include <weft/ops/index/index.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>

namespace weft {
namespace {

using sample::absent;
using sample::booleans;
using sample::integers;
using sample::normal;

// Operands [2, time_q, heads, width], [2, time_k, kv_heads, width], [2, time_k, kv_heads, value_width].
struct Extents {
  std::int64_t time_q = 5, time_k = 5, heads = 2, kv_heads = 2, width = 3, value_width = 3;
};
std::vector<SampleInput> operands(const Extents& e, std::vector<SampleInput> more = {}) {
  std::vector<SampleInput> in{normal({2, e.time_q, e.heads, e.width}).batched(0),
                              normal({2, e.time_k, e.kv_heads, e.width}).batched(0),
                              normal({2, e.time_k, e.kv_heads, e.value_width}).batched(0)};
  in.insert(in.end(), more.begin(), more.end());
  return in;
}

// The operands of an attention sample and what its forward would give; y and logsumexp are free operands here.
Sample backward_of(Sample forward, const Extents& e, bool d_logsumexp) {
  while (forward.inputs.size() < AttentionIn::count) forward.inputs.push_back(absent());
  for (const auto& fill : {normal({2, e.time_q, e.heads, e.value_width}, 0.5), normal({2, e.heads, e.time_q}, 1, 0.3),
                           normal({2, e.heads, e.time_q}, 2, 0.1), normal({2, e.time_q, e.heads, e.value_width}),
                           normal({2, e.heads, e.time_q})})
    forward.inputs.push_back(fill.batched(0));
  if (!d_logsumexp) forward.inputs.pop_back();
  return forward;
}

std::vector<Sample> basic_samples() {
  const Attributes plain{{"scale", 0.6}}, causal{{"scale", 0.6}, {"causal", true}};
  const auto offset = [&](std::int64_t at) { return causal.with("offset", at); };
  const auto dropped = Attributes(causal).with("dropout", 0.3).with("stream", std::int64_t{7});
  const SampleInput lengths = integers({2}, 1, 6).batched(0), start = integers({}, 0, 3);
  return {
      {operands({}), plain},
      {operands({}), causal},
      {operands({.time_q = 3, .time_k = 7, .width = 4, .value_width = 2}), plain},
      {operands({.time_q = 3, .time_k = 7}), offset(4)},
      {operands({.heads = 4, .kv_heads = 2}), causal},
      {operands({.time_q = 4, .time_k = 3, .heads = 3, .kv_heads = 1, .value_width = 5}), plain},
      {operands({.time_q = 1, .time_k = 6}), offset(5)},
      {operands({.time_k = 1}), plain},
      {operands({.width = 1, .value_width = 1}), plain},
      {operands({}), dropped},
      {operands({.heads = 4}), Attributes(plain).with("soft_cap", 1.5)},
      {operands({.time_q = 7, .time_k = 7}), Attributes(plain).with("window", std::int64_t{3})},
      {operands({.time_q = 5, .time_k = 7}), offset(2).with("window", std::int64_t{2})},
      {operands({.time_q = 9, .time_k = 9}),
       Attributes(plain).with("window", std::int64_t{3}).with("window_stride", std::int64_t{2})},
      {operands({.time_q = 9, .time_k = 9}),
       Attributes(plain).with("window", std::int64_t{2}).with("window_stride", std::int64_t{3}), false},
      {operands({}, {normal({2, 2, 5, 5}).batched(0)}), plain},
      {operands({}, {normal({2, 1, 5})}), Attributes(dropped).with("soft_cap", 2.0)},
      {operands({}, {normal({5, 1})}), causal},
      {operands({}, {absent(), booleans({5})}), plain},
      {operands({}, {absent(), absent(), lengths, start}), causal},
      {operands({}, {absent(), absent(), integers({}, 2, 5)}), plain},
      // Scores of +-1e4, exact in every type: whole numbers times 400.
      {{sample::ties({2, 5, 2, 3}).batched(0), sample::ties({2, 5, 2, 3}).batched(0), normal({2, 5, 2, 3}).batched(0)},
       {{"scale", 400.0}},
       false},
      // Queries without keys: a finite difference of logsumexp = -inf makes no sense.
      {operands({.time_q = 6, .time_k = 4}), offset(-2), false},
      {operands({}, {absent(), booleans({2, 1, 5, 5}).batched(0)}), causal, false},
      {operands({}, {normal({2, 5, 5}), booleans({5, 5}), lengths}), causal, false},
      // More than one block of queries and of keys; two passes backward (few heads) and one (many).
      {operands({.time_q = 70, .time_k = 530, .heads = 1, .kv_heads = 1, .width = 17, .value_width = 9}), offset(460),
       false},
      {operands({.time_q = 300, .time_k = 300, .heads = 4, .kv_heads = 2, .width = 8, .value_width = 4}), dropped,
       false},
      {operands({.time_q = 66, .time_k = 301, .heads = 8, .kv_heads = 4}, {normal({8, 66, 301}), booleans({301})}),
       Attributes(plain).with("soft_cap", 3.0), false},
      {operands({.time_q = 600, .time_k = 600, .heads = 4, .kv_heads = 4}), offset(0).with("window", std::int64_t{40}),
       false},
  };
}

// `attributes` with a function of `captures` values, as attribute "score" or "pairs". Samples are of every dtype: they
// are traced in f32 and follow the node's.
using Function = std::function<Value(const AttentionScore&, const Values& captures)>;
Attributes with_function(const Attributes& attributes, const char* name, const Extents& e,
                         const std::vector<TensorType>& captures, const Function& function) {
  Graph graph;
  Values values;
  for (const TensorType& type : captures)
    values.push_back(graph.input(fmt::format("x{}", values.size()), type.dtype, type.shape));
  const DType result = std::string_view(name) == "pairs" ? boolean : f32;
  const TracedScore traced = trace_score(
      graph, {2, e.heads, e.time_q, e.time_k, f32}, result,
      [&](const AttentionScore& s) { return function(s, values); }, std::source_location::current());
  graph.check();
  return attributes.with(name, std::shared_ptr<const Description>(traced.function));
}
Attributes with_pairs(const Attributes& attributes, const Extents& e, const PairPattern& pattern) {
  return with_function(attributes, "pairs", e, {}, [&](const AttentionScore& s, const Values&) { return pattern(s); });
}

// Slopes of each head, a table of distances, and gates of each query: score modifiers of every kind of capture.
std::vector<Sample> modified_samples() {
  const Attributes plain{{"scale", 0.6}};
  const auto distance = [](const AttentionScore& s) { return s.position - s.key; };
  const auto slopes = [=](const AttentionScore& s, const Values& x) {
    return s.score - x[0] * cast(abs(distance(s)), f32);
  };
  const auto table = [=](const AttentionScore& s, const Values& x) {
    return s.score + take(x[0], s.head * 5 + clamp(distance(s), {.min = -2.0, .max = 2.0}) + 2);
  };
  const auto gates = [](const AttentionScore& s, const Values& x) { return tanh(s.score * x[0]) + sigmoid(x[1]); };
  const Extents small{}, long_{.time_q = 110, .time_k = 300, .heads = 4, .kv_heads = 2, .width = 5, .value_width = 4};
  const auto captures = [](std::vector<SampleInput> more) {
    std::vector<SampleInput> in{absent(), absent(), absent(), absent()};
    in.insert(in.end(), more.begin(), more.end());
    return in;
  };
  const auto sample = [&](const Extents& e, const Attributes& attributes, const Function& function,
                          std::vector<TensorType> types, std::vector<SampleInput> more, bool gradient) {
    return Sample{operands(e, captures(std::move(more))), with_function(attributes, "score", e, types, function),
                  gradient};
  };
  const Attributes causal = plain.with("causal", true).with("offset", std::int64_t{190});
  return {
      sample(small, plain, slopes, {{f32, {2, 1, 1}}}, {normal({2, 1, 1})}, true),
      sample(small, plain, table, {{f32, {2, 5}}}, {normal({2, 5})}, true),
      sample(small, plain.with("causal", true), gates, {{f32, {2, 1, 5, 1}}, {f32, {5}}},
             {normal({2, 1, 5, 1}).batched(0), normal({5})}, true),
      sample(long_, causal, slopes, {{f32, {4, 1, 1}}}, {normal({4, 1, 1}, 0, 0.02)}, false),
      sample(long_, causal, table, {{f32, {4, 5}}}, {normal({4, 5})}, false),
      {operands(small), with_pairs(plain, small, pairs::strided(2, 3))},
      {operands(long_), with_pairs(causal, long_, pairs::local(20, 30) | pairs::global(2)), false},
      {operands(long_), with_pairs(plain, long_, pairs::blocks({{true, false, true}, {false, true, false}}, 100)),
       false},
  };
}

}  // namespace

std::vector<Sample> attention_samples() {
  std::vector<Sample> samples = basic_samples();
  for (Sample& sample : modified_samples()) samples.push_back(std::move(sample));
  return samples;
}

std::vector<BadSample> attention_bad_samples() {
  const Attributes plain{{"scale", 0.5}};
  const TensorType q{f32, {2, 5, 4, 3}}, k{f32, {2, 6, 2, 3}};
  return {
      {{{i64, {2, 5, 4, 3}}, k, k}, plain, "floating type"},
      {{q, {f64, {2, 6, 2, 3}}, k}, plain, "must be f32"},
      {{{f32, {5, 4, 3}}, k, k}, plain, "must have rank 4"},
      {{q, {f32, {2, 6, 2, 4}}, k}, plain, "k [batch, time_k, kv_heads, width]"},
      {{q, k, {f32, {2, 7, 2, 3}}}, plain, "v [batch, time_k, kv_heads, value_width]"},
      {{q, {f32, {2, 6, 3, 3}}, {f32, {2, 6, 3, 3}}}, plain, "kv_heads must divide heads"},
      {{q, k, k, {f32, {5, 5}}}, plain, "bias must broadcast"},
      {{q, k, k, {f64, {5, 6}}}, plain, "must be f32"},
      {{q, k, k, {f32, {6}}, {f32, {6}}}, plain, "must be bool"},
      {{q, k, k, {f32, {6}}, {boolean, {3, 1, 5, 6}}}, plain, "mask must broadcast"},
      {{q, k, k, {f32, {6}}, {boolean, {6}}, {f32, {2}}}, plain, "must be i32 or i64"},
      {{q, k, k, {f32, {6}}, {boolean, {6}}, {i64, {3}}}, plain, "lengths must be [] or [batch=2]"},
      {{q, k, k, {f32, {6}}, {boolean, {6}}, {i64, {2}}, {i64, {2, 1}}}, plain, "start must be [] or [batch=2]"},
      {{q, k, k}, {{"scale", 0.0}}, "must be positive"},
      {{q, k, k}, Attributes(plain).with("dropout", 1.0), "dropout must be in [0, 1)"},
      {{q, k, k}, Attributes(plain).with("soft_cap", -1.0), "soft_cap must be at least 0"},
      {{q, k, k}, Attributes(plain).with("window", std::int64_t{-1}), "window must be at least 1 (0: none), got -1"},
      {{q, k, k}, Attributes(plain).with("window_stride", std::int64_t{0}), "window_stride must be at least 1, got 0"},
      {{q, k, k, {f32, {5, 6}}, {boolean, {6}}, {i64, {2}}, {i64, {2}}, {f32, {1}}},
       plain,
       "expected 0 captured values, got 1"},
  };
}

std::vector<Sample> attention_backward_samples() {
  const Attributes plain{{"scale", 0.6}}, causal = Attributes(plain).with("causal", true);
  const auto dropped = Attributes(causal).with("dropout", 0.3).with("stream", std::int64_t{7});
  const Extents small{.time_q = 3, .time_k = 3, .width = 2, .value_width = 2};
  const Extents grouped{.time_q = 3, .time_k = 2, .heads = 2, .kv_heads = 1, .width = 2, .value_width = 3};
  const Extents few{.time_q = 70, .time_k = 270, .heads = 4, .kv_heads = 2, .width = 9, .value_width = 8};
  const Extents wide{.time_q = 200, .time_k = 600, .heads = 8, .kv_heads = 4, .width = 33, .value_width = 16};
  const Extents many{.time_q = 70, .time_k = 270, .heads = 8, .kv_heads = 4, .width = 9, .value_width = 8};
  return {
      backward_of({operands(small), plain}, small, true),
      backward_of({operands(small), dropped}, small, false),
      backward_of({operands(grouped), Attributes(plain).with("soft_cap", 1.5)}, grouped, true),
      backward_of({operands(small, {normal({2, 3, 3}), booleans({2, 1, 3, 3}).batched(0)}), causal}, small, false),
      backward_of({operands(few), Attributes(dropped).with("offset", std::int64_t{200}), false}, few, true),
      backward_of({operands(many), Attributes(dropped).with("offset", std::int64_t{200}), false}, many, true),
      backward_of({operands(few), Attributes(plain).with("soft_cap", 1.5), false}, few, false),
      // Keys that no query sees, and queries that see none of a chunk of keys.
      backward_of({operands(small, {absent(), absent(), integers({2}, 1, 3).batched(0)}), plain}, small, true),
      backward_of(
          {operands(few), Attributes(plain).with("window", std::int64_t{20}).with("offset", std::int64_t{90}), false},
          few, true),
      // The bias's gradient: a copy of a small one for each task, one of a large one.
      backward_of({operands(small, {normal({2, 3, 3})}), causal.with("d_bias", true)}, small, true),
      backward_of({operands(many, {normal({8, 70, 270})}),
                   Attributes(causal).with("offset", std::int64_t{200}).with("d_bias", true), false},
                  many, false),
      backward_of(
          {operands(few, {normal({2, 1, 1, 270}).batched(0)}), plain.with("d_bias", true).with("soft_cap", 1.5), false},
          few, true),
      backward_of({operands(few), with_pairs(plain, few, pairs::strided(20, 40) & !pairs::global(3)), false}, few,
                  true),
      backward_of({operands(wide), {{"scale", 0.2}, {"causal", true}, {"offset", std::int64_t{300}}}, false}, wide,
                  false),
  };
}

std::vector<BadSample> attention_backward_bad_samples() {
  const Attributes plain{{"scale", 0.5}};
  const TensorType y{f32, {2, 5, 4, 3}}, k{f32, {2, 6, 2, 3}}, rows{f32, {2, 4, 5}}, other{f32, {2, 5, 4, 2}};
  const auto call = [&](TensorType y_in, TensorType top, TensorType d_y, TensorType d_logsumexp) {
    return std::vector<TensorType>{y,
                                   k,
                                   k,
                                   {f32, {6}},
                                   {boolean, {6}},
                                   {i64, {2}},
                                   {i64, {2}},
                                   std::move(y_in),
                                   std::move(top),
                                   rows,
                                   std::move(d_y),
                                   std::move(d_logsumexp)};
  };
  return {{call(other, rows, y, rows), plain, "y must be [2, 5, 4, 3]"},
          {call(y, rows, {f64, {2, 5, 4, 3}}, rows), plain, "must be f32"},
          {call(y, {f32, {2, 5, 4}}, y, rows), plain, "the logsumexp must be [2, 4, 5]"},
          {call(y, rows, other, rows), plain, "d_y must be [2, 5, 4, 3]"},
          {call(y, rows, y, {f32, {}}), plain, "d_logsumexp must be [2, 4, 5]"},
          {call(y, rows, y, {f64, {2, 4, 5}}), plain, "must be f32"},
          {call(y, rows, y, rows), {{"scale", -1.0}}, "must be positive"}};
}

}  // namespace weft
