#include <weft/ops/attention_samples.h>

#include <weft/ops/attention_shape.h>

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
  for (const auto& fill : {normal({2, e.time_q, e.heads, e.value_width}), normal({2, e.heads, e.time_q}, 1, 0.3).widened(),
                           normal({2, e.time_q, e.heads, e.value_width}), normal({2, e.heads, e.time_q}).widened()})
    forward.inputs.push_back(fill.batched(0));
  if (!d_logsumexp) forward.inputs.pop_back();
  return forward;
}

}  // namespace

std::vector<Sample> attention_samples() {
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
      {operands({}, {normal({2, 2, 5, 5}).batched(0)}), plain},
      {operands({}, {normal({2, 1, 5})}), Attributes(dropped).with("soft_cap", 2.0)},
      {operands({}, {normal({5, 1})}), causal},
      {operands({}, {absent(), booleans({5})}), plain},
      {operands({}, {absent(), absent(), lengths, start}), causal},
      {operands({}, {absent(), absent(), integers({}, 2, 5)}), plain},
      // Scores of +-1e4, exact in every type: whole numbers times 400. Not backward: beside 1e4 the logsumexp keeps three
      // places in f32.
      {{sample::ties({2, 5, 2, 3}).batched(0).constant(), sample::ties({2, 5, 2, 3}).batched(0).constant(),
        normal({2, 5, 2, 3}).batched(0).constant()},
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
      {{q, k, k}, Attributes(plain).with("window", std::int64_t{-1}), "window must be at least 0"},
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
      backward_of({operands(few), Attributes(plain).with("window", std::int64_t{20}).with("offset", std::int64_t{90}), false},
                  few, true),
      backward_of({operands(wide), {{"scale", 0.2}, {"causal", true}, {"offset", std::int64_t{300}}}, false}, wide, false),
  };
}

std::vector<BadSample> attention_backward_bad_samples() {
  const Attributes plain{{"scale", 0.5}};
  const TensorType y{f32, {2, 5, 4, 3}}, k{f32, {2, 6, 2, 3}}, rows{f32, {2, 4, 5}}, other{f32, {2, 5, 4, 2}};
  const auto call = [&](TensorType y_in, TensorType logsumexp, TensorType d_y, TensorType d_logsumexp) {
    return std::vector<TensorType>{y, k, k, {f32, {6}}, {boolean, {6}}, {i64, {2}}, {i64, {2}}, std::move(y_in),
                                   std::move(logsumexp), std::move(d_y), std::move(d_logsumexp)};
  };
  return {{call(other, rows, y, rows), plain, "y must be [2, 5, 4, 3]"},
          {call(y, rows, {f64, {2, 5, 4, 3}}, rows), plain, "must be f32"},
          {call(y, {f32, {2, 5, 4}}, y, rows), plain, "logsumexp must be [2, 4, 5]"},
          {call(y, rows, other, rows), plain, "d_y must be [2, 5, 4, 3]"},
          {call(y, rows, y, {f32, {}}), plain, "logsumexp must be [2, 4, 5]"},
          {call(y, rows, y, rows), {{"scale", -1.0}}, "must be positive"}};
}

}  // namespace weft
