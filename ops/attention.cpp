#include <weft/graph/registry.h>
#include <weft/ops/attention.h>
#include <weft/ops/arithmetic.h>
#include <weft/ops/attention_flash.h>
#include <weft/ops/attention_plain.h>
#include <weft/ops/attention_tile.h>
#include <weft/ops/build.h>
#include <weft/ops/movement.h>
#include <weft/ops/rules.h>

#include <cmath>

namespace weft {

AttentionShape::AttentionShape(const OpView& view)
    : batch(view.shape(AttentionIn::q).extent(0)),
      heads(view.shape(AttentionIn::q).extent(2)),
      kv_heads(view.shape(AttentionIn::k).extent(2)),
      time_q(view.shape(AttentionIn::q).extent(1)),
      time_k(view.shape(AttentionIn::k).extent(1)),
      width(view.shape(AttentionIn::q).extent(3)),
      value_width(view.shape(AttentionIn::v).extent(3)),
      scale(view.attributes.number("scale")),
      soft_cap(view.attributes.get_or<double>("soft_cap", 0)),
      dropout(view.attributes.get_or<double>("dropout", 0)),
      causal(view.attributes.flag("causal")),
      window(view.attributes.get_or<std::int64_t>("window", 0)),
      offset(view.attributes.get_or<std::int64_t>("offset", 0)),
      stream(static_cast<std::uint32_t>(view.attributes.get_or<std::int64_t>("stream", 0))) {}

ScoreStrides::ScoreStrides(const Shape& shape) {
  std::int64_t* const strides[] = {&batch, &head, &query, &key};
  std::int64_t step = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    if (shape.extent(axis) != 1) *strides[axis + 4 - shape.rank()] = step;
    step *= shape.extent(axis);
  }
}

// --- attention -------------------------------------------------------------------------------------------------------
// s_ij = scale <q_i, k_j>, capped, + bias_ij, -inf where masked     q [B, Tq, H, D], k [B, Tk, KV, D]
// logsumexp_i = log sum_j exp(s_ij)                                 [B, H, Tq]
// y_i = sum_j exp(s_ij - logsumexp_i) keep_ij v_j                   v [B, Tk, KV, E], y [B, Tq, H, E]
namespace {

void expect_scores(const OpView& view, int i, const Shape& scores, const char* what) {
  WEFT_CHECK(view.shape(i).rank() <= 4 && broadcasts_to(view.shape(i), scores),
             "{} must broadcast to [batch, heads, time_q, time_k] = {}, got {}", what, scores.str(),
             view.shape(i).str());
}

void expect_per_example(const OpView& view, int i, const Dim& batch, const char* what) {
  expect_integer(view, i);
  const Shape& shape = view.shape(i);
  WEFT_CHECK(shape.rank() == 0 || (shape.rank() == 1 && (shape[0] == batch || shape[0] == Dim(1))),
             "{} must be [] or [batch={}], got {}", what, batch.value(), shape.str());
}

void check_options(const Attributes& a) {
  const double scale = a.number("scale"), soft_cap = a.get_or<double>("soft_cap", 0);
  const double dropout = a.get_or<double>("dropout", 0);
  const auto window = a.get_or<std::int64_t>("window", 0);
  WEFT_CHECK(scale > 0 && std::isfinite(scale), "scale / temperature must be positive, got {}", scale);
  WEFT_CHECK(soft_cap >= 0 && std::isfinite(soft_cap), "soft_cap must be at least 0, got {}", soft_cap);
  WEFT_CHECK(dropout >= 0 && dropout < 1, "dropout must be in [0, 1), got {}", dropout);
  WEFT_CHECK(window >= 0, "window must be at least 0, got {}", window);
}

// Checks the operands that both directions read.
void check_operands(const OpView& view) {
  using In = AttentionIn;
  const char* const names[] = {"q [batch, time_q, heads, width]", "k [batch, time_k, kv_heads, width]",
                               "v [batch, time_k, kv_heads, value_width]"};
  expect_float(view, In::q);
  for (const int i : {In::q, In::k, In::v}) {
    expect_dtype(view, i, view.type(In::q).dtype);
    expect_rank(view, i, 4, names[i]);
  }
  const Shape &q = view.shape(In::q), &k = view.shape(In::k), &v = view.shape(In::v);
  expect_shape(view, In::k, {q[0], k[1], k[2], q[3]}, "k [batch, time_k, kv_heads, width]");
  expect_shape(view, In::v, {q[0], k[1], k[2], v[3]}, "v [batch, time_k, kv_heads, value_width]");
  WEFT_CHECK(k.extent(2) > 0 && q.extent(2) % k.extent(2) == 0, "kv_heads must divide heads, got {} and {}",
             k.extent(2), q.extent(2));
  const Shape scores{q[0], q[2], q[1], k[1]};
  if (view.has(In::bias)) {
    expect_dtype(view, In::bias, view.type(In::q).dtype);
    expect_scores(view, In::bias, scores, "bias");
  }
  if (view.has(In::mask)) {
    expect_dtype(view, In::mask, boolean);
    expect_scores(view, In::mask, scores, "mask");
  }
  if (view.has(In::lengths)) expect_per_example(view, In::lengths, q[0], "lengths");
  if (view.has(In::start)) expect_per_example(view, In::start, q[0], "start");
  check_options(view.attributes);
}

TensorType y_type(const OpView& view) {
  const Shape& q = view.shape(AttentionIn::q);
  return {view.type(AttentionIn::q).dtype, {q[0], q[1], q[2], view.shape(AttentionIn::v)[3]}};
}
TensorType logsumexp_type(const OpView& view) {
  const Shape& q = view.shape(AttentionIn::q);
  return {view.type(AttentionIn::q).dtype == f64 ? f64 : f32, {q[0], q[2], q[1]}};
}

std::vector<TensorType> infer_attention(const OpView& view) {
  check_operands(view);
  return {y_type(view), logsumexp_type(view)};
}

// Examples do not meet: the batch is axis 0 of every operand that has it and of every output.
std::vector<BatchState> examples_apart(const OpView& view, std::span<const BatchState> in) {
  BatchState result;
  for (int i = 0; i < view.inputs(); ++i) {
    const BatchState& state = in[static_cast<std::size_t>(i)];
    if (!view.has(i) || state.kind == BatchState::Kind::free) continue;
    const bool aligned = (i != AttentionIn::bias && i != AttentionIn::mask) || view.shape(i).rank() == 4;
    if (state == BatchState::split_at(0) && aligned && result.kind != BatchState::Kind::mixed) result = state;
    else result = state.in_shape() || result.in_shape() ? BatchState::split_at(0).as_mixed() : BatchState::mixed();
  }
  return every_output(view, result);
}

Value operand(const Values& in, int i) {
  return static_cast<std::size_t>(i) < in.size() ? in[static_cast<std::size_t>(i)] : Value{};
}
AttentionMasks masks_of(const Values& in) {
  return {operand(in, AttentionIn::bias), operand(in, AttentionIn::mask), operand(in, AttentionIn::lengths),
          operand(in, AttentionIn::start)};
}

Values plain_of_attention(const Plain& node) {
  return plain_attention(node.in[0], node.in[1], node.in[2], masks_of(node.in), AttentionLaw(node.attributes));
}

AttentionCotangents cotangents_of(const Values& in) {
  using In = AttentionIn;
  return {in[In::q], in[In::k], in[In::v], masks_of(in), in[In::y], in[In::logsumexp], in[In::d_y],
          operand(in, In::d_logsumexp)};
}

// d_q, d_k, d_v from attention_backward; d_bias = d_s, summed by the walk to the bias's shape.
void differentiate_attention(Backward& b) {
  Values in(AttentionIn::count);
  for (int i = 0; i < b.inputs(); ++i) in[static_cast<std::size_t>(i)] = b.in(i);
  for (const Value& value : {b.out(0), b.out(1), b.cotangent(0), b.has_cotangent(1) ? b.cotangent(1) : Value{}})
    in.push_back(value);
  if (b.wants(AttentionIn::q) || b.wants(AttentionIn::k) || b.wants(AttentionIn::v)) {
    const Values d = b.in(0).graph().apply(attention_backward_op(), in, b.attributes());
    for (int i = 0; i < 3; ++i) b.input(i, d[static_cast<std::size_t>(i)]);
  }
  if (b.wants(AttentionIn::bias)) {
    const Value d_s = plain_attention_d_scores(cotangents_of(in), AttentionLaw(b.attributes()));
    b.input(AttentionIn::bias, cast(d_s, b.in(AttentionIn::bias).dtype()));
  }
}

Values without_dropout(const Plain& node) {
  AttentionLaw law(node.attributes);
  law.dropout = 0;
  return node.in[0].graph().apply(attention_op(), node.in, law.attributes());
}

// Products of q k^T, p v and, backward, five (seven) of that size; half of the scores if causal.
Cost attention_cost(const OpView& view, double products) {
  const AttentionShape s(view);
  const auto n = static_cast<double>(s.batch * s.heads * s.time_q) * static_cast<double>(s.time_k);
  Cost cost{n * static_cast<double>(s.width + s.value_width) * products * (s.causal ? 0.5 : 1.0), 0};
  for (int i = 0; i < view.inputs(); ++i)
    if (view.has(i)) cost.bytes += static_cast<double>(view.type(i).bytes());
  for (const TensorType& type : view.out) cost.bytes += static_cast<double>(type.bytes());
  return cost;
}

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

}  // namespace

const OpDef& attention_op() {
  static const OpDef op{
      .name = "attention",
      .law = "y_i = sum_j p_ij keep_ij v_j, p = softmax(s), s_ij = cap(scale <q_i, k_j>) + bias_ij, -inf where masked",
      .source = "Vaswani et al. 2017, section 3.2.1, eq. 1; Dao et al. 2022, algorithm 1",
      .outputs = {"y", "logsumexp"},
      .least_inputs = 3,
      .most_inputs = AttentionIn::count,
      .infer = infer_attention,
      .batch = examples_apart,
      .backward = differentiate_attention,
      .plain = plain_of_attention,
      .evaluation = without_dropout,
      .traits = {.random = true, .cheap = false, .precision = Precision::low},
      .cost = [](const OpView& view) { return attention_cost(view, 2); },
      .kernels = attention_kernels(),
      .samples = attention_samples(),
      .bad_samples = attention_bad_samples(),
  };
  return op;
}

// --- attention_backward ----------------------------------------------------------------------------------------------
// p_ij = exp(s_ij - logsumexp_i), d_p = (d_y v^T) keep, d_s = p (d_p - <d_y_i, y_i> + d_logsumexp_i)
// d_q = scale cap' d_s k      d_k = scale (cap' d_s)^T q      d_v = (p keep)^T d_y
namespace {

std::vector<TensorType> infer_backward(const OpView& view) {
  using In = AttentionIn;
  check_operands(view);
  const TensorType y = y_type(view), logsumexp = logsumexp_type(view);
  for (const int i : {In::y, In::d_y}) {
    expect_dtype(view, i, y.dtype);
    expect_shape(view, i, y.shape, i == In::y ? "y" : "d_y");
  }
  for (const int i : {In::logsumexp, In::d_logsumexp}) {
    if (i == In::d_logsumexp && !view.has(i)) continue;
    if (view.type(i).dtype != y.dtype) expect_dtype(view, i, logsumexp.dtype);
    expect_shape(view, i, logsumexp.shape, "logsumexp");
  }
  return {view.type(In::q), view.type(In::k), view.type(In::v)};
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

}  // namespace

const OpDef& attention_backward_op() {
  static const OpDef op{
      .name = "attention_backward",
      .law = "d_s = p (d_p - <d_y, y> + d_logsumexp); d_q = scale d_s k, d_k = scale d_s^T q, d_v = (p keep)^T d_y",
      .source = "Dao et al. 2022, algorithm 4",
      .outputs = {"d_q", "d_k", "d_v"},
      .least_inputs = AttentionIn::d_y + 1,
      .most_inputs = AttentionIn::d_logsumexp + 1,
      .infer = infer_backward,
      .batch = examples_apart,
      .plain =
          [](const Plain& node) {
            return plain_attention_backward(cotangents_of(node.in), AttentionLaw(node.attributes));
          },
      .traits = {.random = true, .cheap = false, .precision = Precision::low},
      .cost = [](const OpView& view) { return attention_cost(view, 5); },
      .kernels = attention_backward_kernels(),
      .samples = attention_backward_samples(),
      .bad_samples = attention_backward_bad_samples(),
  };
  return op;
}

// --- functions -------------------------------------------------------------------------------------------------------
namespace {

AttentionLaw law_of(const Value& q, const Value& k, const AttentionOptions& options) {
  if (!q.valid() || !k.valid() || q.rank() != 4 || k.rank() != 4) return {options, 1, 0};  // the shape rule says why
  return {options, q.shape().extent(3), k.shape().extent(1) - q.shape().extent(1)};
}

AttentionMasks masks_of(const AttentionOptions& options) {
  return {options.bias, options.mask, options.lengths, options.start};
}

// For what is built from basic ops: the operands' checks of the fused op. False: an operand has failed before.
bool checked(const Value& q, const Value& k, const Value& v, const AttentionMasks& masks, const AttentionLaw& law) {
  std::vector<const TensorType*> types;
  for (const Value& x : {q, k, v, masks.bias, masks.mask, masks.lengths, masks.start}) {
    if (!x.absent() && !x.valid()) return false;
    types.push_back(x.absent() ? nullptr : &x.type());
  }
  const Attributes attributes = law.attributes();
  check_operands({attention_op(), attributes, types, {}});
  return true;
}

}  // namespace

Values attention_outputs(const Arg& q, const Arg& k, const Arg& v, const AttentionOptions& options) {
  const auto line = called_at({q});
  AttentionLaw law = law_of(q.value(), k.value(), options);
  if (law.dropout > 0 && !options.stream) law.stream = graph_of({q, k, v}).next_id();
  const AttentionMasks masks = masks_of(options);
  if (law.fused() || !checked(q.value(), k.value(), v.value(), masks, law))
    return build_all(attention_op(), {q, k, v, masks.bias, masks.mask, masks.lengths, masks.start}, law.attributes());
  return plain_attention(q.value(), k.value(), v.value(), masks, law);
}

Value attention(const Arg& q, const Arg& k, const Arg& v, const AttentionOptions& options) {
  return attention_outputs(q, k, v, options).front();
}

Value attention_weights(const Arg& q, const Arg& k, const AttentionOptions& options) {
  const auto line = called_at({q});
  const AttentionLaw law = law_of(q.value(), k.value(), options);
  const AttentionMasks masks = masks_of(options);
  if (!checked(q.value(), k.value(), k.value(), masks, law)) return {q.value().graph_data(), ValueRef{}};
  return cast(plain_attention_weights(q.value(), k.value(), masks, law), q.value().dtype());
}

Value attention_weights_of(const Value& y) {
  const Graph graph = y.graph();
  const Node& node = graph.node(y);
  WEFT_CHECK(node.op == &attention_op(), "'{}' ({}) is no attention but the op {}", node.name, str(node.where),
             node.op->name);
  Values in;
  for (const ValueRef& operand : node.operands) in.push_back(operand.node == no_node ? Value{} : graph.value(operand));
  return cast(plain_attention_weights(in[0], in[1], masks_of(in), AttentionLaw(node.attributes)), in[0].dtype());
}

Value padding_mask(const Arg& tokens, std::int64_t pad_id) {
  const auto line = called_at({tokens});
  const Value visible = not_equal(tokens, pad_id);
  if (!visible.valid()) return visible;
  WEFT_CHECK(visible.rank() == 2, "padding_mask needs tokens [batch, time], got {}", visible.shape().str());
  return reshape(visible, {visible.dim(0), 1, 1, visible.dim(1)});
}

void register_attention() {
  registry().add(attention_op());
  registry().add(attention_backward_op());
}

}  // namespace weft
