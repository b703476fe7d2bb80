#include <weft/ops/attention/attention.h>

#include <weft/graph/registry.h>
#include <weft/ops/attention/flash.h>
#include <weft/ops/attention/plain.h>
#include <weft/ops/attention/samples.h>
#include <weft/ops/attention/shape.h>
#include <weft/ops/attention/sums.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/movement.h>

#include <cmath>

namespace weft {

AttentionShape::AttentionShape(const OpView& view)
    : ScoreRule(view.attributes),
      batch(view.shape(AttentionIn::q).extent(0)),
      heads(view.shape(AttentionIn::q).extent(2)),
      kv_heads(view.shape(AttentionIn::k).extent(2)),
      time_q(view.shape(AttentionIn::q).extent(1)),
      time_k(view.shape(AttentionIn::k).extent(1)),
      width(view.shape(AttentionIn::q).extent(3)),
      value_width(view.shape(AttentionIn::v).extent(3)),
      parallel_heads(batch * kv_heads),
      low(view.attributes.flag("low")) {}

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
// top_i = max_j s_ij, log_sum_i = log sum_j exp(s_ij - top_i)       [B, H, Tq]
// y_i = sum_j exp(s_ij - top_i - log_sum_i) keep_ij v_j                   v [B, Tk, KV, E], y [B, Tq, H, E]
namespace {

constexpr int backward_captures = AttentionIn::d_logsumexp + 1;

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

// The functions of a node fit its captures.
void check_functions(const OpView& view, int first_capture) {
  const Shape scores{view.shape(AttentionIn::q)[0], view.shape(AttentionIn::q)[2], view.shape(AttentionIn::q)[1],
                     view.shape(AttentionIn::k)[1]};
  const DType dtype = view.type(AttentionIn::q).dtype == f64 ? f64 : f32;
  int capture = first_capture;
  for (const char* name : {"score", "score_derivative", "pairs"}) {
    const ScoreFunction* function = score_function(view.attributes, name);
    if (function == nullptr) continue;
    std::vector<TensorType> types;
    for (int c = 0; c < function->captured; ++c, ++capture) {
      const TensorType& type = view.type(capture);
      if (!function->tables[static_cast<std::size_t>(c)]) expect_scores(view, capture, scores, "a captured value");
      types.push_back(type);
    }
    function->block_types(dtype, types, 3, 5);
  }
  WEFT_CHECK(capture == std::max(view.inputs(), first_capture), "expected {} captured values, got {}",
             capture - first_capture, view.inputs() - first_capture);
}

}  // namespace

void check_attention_operands(const OpView& view) {
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
  ScoreRule(view.attributes).check();
}

namespace {

TensorType y_type(const OpView& view) {
  const Shape& q = view.shape(AttentionIn::q);
  return {view.type(AttentionIn::q).dtype, {q[0], q[1], q[2], view.shape(AttentionIn::v)[3]}};
}
TensorType row_type(const OpView& view) {
  const Shape& q = view.shape(AttentionIn::q);
  return {wide(view.type(AttentionIn::q).dtype), {q[0], q[2], q[1]}};
}

std::vector<TensorType> infer_attention(const OpView& view) {
  check_attention_operands(view);
  check_functions(view, AttentionIn::count);
  return {y_type(view), row_type(view), row_type(view)};
}

// Examples do not meet: the batch is axis 0 of every operand that has it and of every output.
BatchState examples_apart(const OpView& view, std::span<const BatchState> in, int captures) {
  BatchState result;
  for (int i = 0; i < view.inputs(); ++i) {
    const BatchState& state = in[static_cast<std::size_t>(i)];
    if (!view.has(i) || state.kind == BatchState::Kind::free) continue;
    const bool of_scores = i == AttentionIn::bias || i == AttentionIn::mask || i >= captures;
    const bool aligned = !of_scores || view.shape(i).rank() == 4;
    if (state == BatchState::split_at(0) && aligned && result.kind != BatchState::Kind::mixed) result = state;
    else result = state.in_shape() || result.in_shape() ? BatchState::split_at(0).as_mixed() : BatchState::mixed();
  }
  return result;
}

Values plain_of_attention(const Plain& node) {
  return plain_attention(node.in[0], node.in[1], node.in[2], attention_masks(node.in, AttentionIn::count),
                         AttentionLaw(node.attributes));
}

AttentionCotangents cotangents_of(const Values& in) {
  using In = AttentionIn;
  return {in[In::q],
          in[In::k],
          in[In::v],
          attention_masks(in, backward_captures),
          in[In::y],
          in[In::top],
          in[In::log_sum],
          in[In::d_y],
          in.size() > In::d_logsumexp ? in[In::d_logsumexp] : Value{}};
}

// The node's attributes as its backward has them: which gradients of what is added to the scores are wanted.
Attributes backward_attributes(const Backward& b) {
  AttentionLaw law(b.attributes());
  const auto score = std::move(law.score_data);
  Attributes attributes = law.attributes().with("offset", law.offset);
  if (b.wants(AttentionIn::bias)) attributes.set("d_bias", true);
  if (score == nullptr) return attributes;
  std::vector<TensorType> types;
  std::vector<bool> wanted;
  for (int c = 0; c < score->captured; ++c) {
    types.push_back(b.in(AttentionIn::count + c).type());
    wanted.push_back(b.wants(AttentionIn::count + c));
  }
  const Value &q = b.in(AttentionIn::q), &k = b.in(AttentionIn::k);
  const ScoreType type{q.dim(0), q.dim(2), q.dim(1), k.dim(1), q.dtype() == f64 ? f64 : f32};
  attributes.set("score_derivative", std::shared_ptr<const Description>(derivative(*score, type, types, wanted, b)));
  return attributes;
}

// All from attention_backward: d_q, d_k, d_v, d_bias if wanted, and those of what the score modifier captures.
void differentiate_attention(Backward& b) {
  Values in(AttentionIn::count);
  for (int i = 0; i < std::min<int>(b.inputs(), AttentionIn::count); ++i) in[static_cast<std::size_t>(i)] = b.in(i);
  const Value d_logsumexp = b.has_cotangent(2) ? b.cotangent(2) : Value{};  // that of the sum (OpDef::parts)
  for (const Value& value : {b.out(0), b.out(1), b.out(2), b.cotangent(0), d_logsumexp}) in.push_back(value);
  for (int i = AttentionIn::count; i < b.inputs(); ++i) in.push_back(b.in(i));
  const Attributes attributes = backward_attributes(b);
  const Values d = b.in(0).graph().apply(attention_backward_op(), in, attributes);
  for (int i = 0; i < 3; ++i) b.input(i, d[static_cast<std::size_t>(i)]);
  std::size_t next = 3;
  if (attributes.flag("d_bias")) b.input(AttentionIn::bias, d[next++]);
  for (const int capture : summed_captures(attributes)) b.input(AttentionIn::count + capture, d[next++]);
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
  double share = s.causal ? 0.5 : 1.0;
  if (s.window > 0)
    share =
        std::min(share, static_cast<double>(2 * s.window) / static_cast<double>(std::max<std::int64_t>(1, s.time_k)));
  Cost cost{n * static_cast<double>(s.width + s.value_width) * products * share, 0};
  for (int i = 0; i < view.inputs(); ++i)
    if (view.has(i)) cost.bytes += static_cast<double>(view.type(i).bytes());
  for (const TensorType& type : view.out) cost.bytes += static_cast<double>(type.bytes());
  return cost;
}

}  // namespace

namespace {

// A score depends on q and k by their products alone, whatever a modifier makes of it; y on v as it is.
std::vector<std::vector<int>> scored_by(const OpView& view, int more) {
  std::vector<std::vector<int>> products{{AttentionIn::q, AttentionIn::k}};
  for (const int i : {AttentionIn::bias, AttentionIn::mask, AttentionIn::lengths, AttentionIn::start})
    products.push_back({i});
  for (int i = more; i < view.inputs(); ++i) products.push_back({i});
  return products;
}
std::vector<Term> terms_of_attention(const OpView& view) {
  const auto scores = scored_by(view, AttentionIn::count);
  return {{.output = 0, .factors = {AttentionIn::v}, .inner = scores},
          {.output = 1, .inner = scores},
          {.output = 2, .inner = scores}};
}

}  // namespace

const OpDef& attention_op() {
  static const OpDef op{
      .name = "attention",
      .law = "y_i = sum_j p_ij keep_ij v_j, p = softmax(s), s_ij = cap(scale <q_i, k_j>) + bias_ij, -inf where masked",
      .source = "Vaswani et al. 2017, section 3.2.1, eq. 1; Dao et al. 2022, algorithm 1",
      .outputs = {"y", "top", "log_sum"},
      .least_inputs = 3,
      .most_inputs = -1,
      .infer = infer_attention,
      .batch =
          [](const OpView& view, std::span<const BatchState> in) {
            return every_output(view, examples_apart(view, in, AttentionIn::count));
          },
      .backward = differentiate_attention,
      .plain = plain_of_attention,
      .evaluation = without_dropout,
      .terms = terms_of_attention,
      .parts = {{{1, 2}}},
      // The gradient of the weights grows with v; scores are rounded beside what is added to them, bias or captured.
      .offsets_cost = {AttentionIn::v, AttentionIn::bias, AttentionIn::count, AttentionIn::count + 1,
                       AttentionIn::count + 2},
      .traits = {.random = true, .cheap = false, .precision = Precision::low},
      .lowerings = {&attention_in_bf16()},
      .cost = [](const OpView& view) { return attention_cost(view, 2); },
      .kernels = attention_kernels(),
      .samples = attention_samples(),
      .bad_samples = attention_bad_samples(),
  };
  return op;
}

// --- attention_backward ----------------------------------------------------------------------------------------------
// p_ij = exp(s_ij - top_i - log_sum_i), d_p = (d_y v^T) keep, d_s = p (d_p - <d_y_i, y_i> + d_logsumexp_i)
// d_q = scale cap' d_s k      d_k = scale (cap' d_s)^T q      d_v = (p keep)^T d_y
namespace {

std::vector<TensorType> infer_backward(const OpView& view) {
  using In = AttentionIn;
  check_attention_operands(view);
  check_functions(view, backward_captures);
  const TensorType y = y_type(view), rows = row_type(view);
  for (const int i : {In::y, In::d_y}) {
    expect_dtype(view, i, y.dtype);
    expect_shape(view, i, y.shape, i == In::y ? "y" : "d_y");
  }
  for (const int i : {In::top, In::log_sum, In::d_logsumexp}) {
    if (i == In::d_logsumexp && !view.has(i)) continue;
    if (view.type(i).dtype != y.dtype) expect_dtype(view, i, rows.dtype);
    expect_shape(view, i, rows.shape, i == In::d_logsumexp ? "d_logsumexp" : "the logsumexp");
  }
  std::vector<TensorType> types{view.type(In::q), view.type(In::k), view.type(In::v)};
  for (TensorType& type : sum_types(view, backward_captures)) types.push_back(std::move(type));
  return types;
}

// d_bias and those of captures lie where their operands do; without the batch they are sums over it.
std::vector<BatchState> batch_of_gradients(const OpView& view, std::span<const BatchState> in) {
  std::vector<BatchState> states(3, examples_apart(view, in, backward_captures));
  const bool mixed = states.front().kind == BatchState::Kind::mixed;
  const auto add = [&](int operand) {
    const BatchState& state = in[static_cast<std::size_t>(operand)];
    states.push_back(mixed                                   ? BatchState::mixed()
                     : state.kind == BatchState::Kind::split ? state
                                                             : BatchState::summed());
  };
  if (view.attributes.flag("d_bias")) add(AttentionIn::bias);
  for (const int capture : summed_captures(view.attributes)) add(backward_captures + capture);
  if (states.front().kind == BatchState::Kind::free)
    for (std::size_t k = 3; k < states.size(); ++k) states[k] = {};
  return states;
}

// d_v is linear in d_y, what comes of d_s in d_y and d_logsumexp.
std::vector<Term> terms_of_attention_backward(const OpView& view) {
  using In = AttentionIn;
  auto probabilities = scored_by(view, backward_captures);
  probabilities.push_back({In::top});
  probabilities.push_back({In::log_sum});
  auto all = probabilities;
  for (const int i : std::vector<int>{In::q, In::k, In::v, In::y}) all.push_back({i});
  std::vector<Term> terms{{.output = 2, .factors = {In::d_y}, .inner = probabilities}};
  for (int k = 0; k < static_cast<int>(view.out.size()); ++k) {
    if (k == 2) continue;
    terms.push_back({.output = k, .factors = {In::d_y}, .inner = all});
    terms.push_back({.output = k, .factors = {In::d_logsumexp}, .inner = all});
  }
  return terms;
}

}  // namespace

const OpDef& attention_backward_op() {
  static const OpDef op{
      .name = "attention_backward",
      .law = "d_s = p (d_p - <d_y, y> + d_logsumexp); d_q = scale d_s k, d_k = scale d_s^T q, d_v = (p keep)^T d_y",
      .source = "Dao et al. 2022, algorithm 4",
      .outputs = {"d_q", "d_k", "d_v", "..."},
      .least_inputs = AttentionIn::d_y + 1,
      .most_inputs = -1,
      .infer = infer_backward,
      .batch = batch_of_gradients,
      .plain =
          [](const Plain& node) {
            return plain_attention_backward(cotangents_of(node.in), AttentionLaw(node.attributes));
          },
      .terms = terms_of_attention_backward,
      .wide_operands = {AttentionIn::top, AttentionIn::log_sum, AttentionIn::d_logsumexp},
      .traits = {.random = true, .cheap = false, .precision = Precision::low},
      .lowerings = {&attention_in_bf16()},
      .cost = [](const OpView& view) { return attention_cost(view, 5); },
      .kernels = attention_backward_kernels(),
      .samples = attention_backward_samples(),
      .bad_samples = attention_backward_bad_samples(),
  };
  return op;
}

void register_attention() {
  registry().add(attention_op());
  registry().add(attention_backward_op());
}

}  // namespace weft
