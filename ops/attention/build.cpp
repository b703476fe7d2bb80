#include <weft/ops/attention/attention.h>

#include <weft/graph/user_rule.h>
#include <weft/ops/attention/plain.h>
#include <weft/ops/attention/shape.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/shape/movement.h>

#include <cmath>

namespace weft {
namespace {

AttentionLaw law_of(const Value& q, const Value& k, const AttentionOptions& options) {
  if (!q.valid() || !k.valid() || q.rank() != 4 || k.rank() != 4) return {options, 1, 0};  // the shape rule says why
  return {options, q.shape().extent(3), k.shape().extent(1) - q.shape().extent(1)};
}

AttentionMasks masks_of(const AttentionOptions& options) {
  return {options.bias, options.mask, options.lengths, options.start, {}};
}

// The operands' checks of the fused op, before functions are called. False: an operand has failed before.
bool checked(const Value& q, const Value& k, const Value& v, const AttentionMasks& masks, const AttentionLaw& law) {
  std::vector<const TensorType*> types;
  for (const Value& x : {q, k, v, masks.bias, masks.mask, masks.lengths, masks.start}) {
    if (!x.absent() && !x.valid()) return false;
    types.push_back(x.absent() ? nullptr : &x.type());
  }
  const Attributes attributes = law.attributes();
  check_attention_operands({attention_op(), attributes, types, {}});
  WEFT_CHECK(law.clip >= 0 && std::isfinite(law.clip), "clip must be at least 0, got {}", law.clip);
  WEFT_CHECK(law.keep_share >= 0 && law.keep_share < 1, "keep_share must be in (0, 1), or 0: all; got {}",
             law.keep_share);
  return true;
}

// The law's functions as data. Clip and soft cap come before the user's modifier, so they join it. False: a problem.
bool trace(const Value& q, const Value& k, AttentionLaw& law, AttentionMasks& masks, std::source_location where) {
  const ScoreType type{q.dim(0), q.dim(2), q.dim(1), k.dim(1), q.dtype() == f64 ? f64 : f32};
  const auto keep = [&](TracedScore traced, std::shared_ptr<const ScoreFunction>& data) {
    data = traced.function;
    masks.captures.insert(masks.captures.end(), traced.captures.begin(), traced.captures.end());
    return data != nullptr;
  };
  if (law.score || law.clip > 0) {
    const auto modify = [clip = law.clip, cap = law.soft_cap, score = law.score](AttentionScore in) {
      if (clip > 0) in.score = clamp(in.score, {.min = -clip, .max = clip});
      if (cap > 0) in.score = tanh(in.score / cap) * cap;
      return score ? score(in) : in.score;
    };
    if (!keep(trace_score(q.graph(), type, type.dtype, modify, where), law.score_data)) return false;
    law.score = {};
    law.clip = law.soft_cap = 0;
  }
  if (!law.pairs) return true;
  const bool traced = keep(trace_score(q.graph(), type, boolean, law.pairs, where), law.pairs_data);
  law.pairs = {};
  return traced;
}

Values failed(const Value& q, int count) { return Values(static_cast<std::size_t>(count), Value(q.graph_data(), {})); }

// {y, top, log_sum}
Values built(const Arg& q, const Arg& k, const Arg& v, const AttentionOptions& options) {
  Graph graph = graph_of({q, k, v});
  AttentionLaw law = law_of(q.value(), k.value(), options);
  if (law.dropout > 0 && !options.stream) law.stream = graph.next_id();
  AttentionMasks masks = masks_of(options);
  const bool special = !law.fused() || law.score || law.pairs || law.clip != 0;
  if (special) {
    try {
      if (checked(q.value(), k.value(), v.value(), masks, law)) {
        if (!law.fused()) return plain_attention(q.value(), k.value(), v.value(), masks, law);
        const bool traced = user_rule("a function of its scores or pairs",
                                      [&] { return trace(q.value(), k.value(), law, masks, q.where()); });
        if (!traced) return failed(q.value(), 3);
      }
    } catch (const UserError& error) {
      graph.refuse("attention", q.where(), fmt::format("[attention] {}", error.reason));
      return failed(q.value(), 3);
    }
  }
  Values in{q.value(), k.value(), v.value(), masks.bias, masks.mask, masks.lengths, masks.start};
  in.insert(in.end(), masks.captures.begin(), masks.captures.end());
  return graph.apply(attention_op(), in, law.attributes(), q.where());
}

}  // namespace

Value attention(const Arg& q, const Arg& k, const Arg& v, const AttentionOptions& options) {
  const auto line = called_at({q});
  return built(q, k, v, options).front();
}

Values attention_outputs(const Arg& q, const Arg& k, const Arg& v, const AttentionOptions& options) {
  const auto line = called_at({q});
  const Values made = built(q, k, v, options);
  if (!made[1].valid()) return made;
  return {made[0], add(made[1], made[2])};
}

Value attention_weights(const Arg& q, const Arg& k, const AttentionOptions& options) {
  const auto line = called_at({q});
  const AttentionLaw law = law_of(q.value(), k.value(), options);
  const AttentionMasks masks = masks_of(options);
  const Value none(q.value().graph_data(), ValueRef{});
  try {
    if (!checked(q.value(), k.value(), k.value(), masks, law)) return none;
    return cast(plain_attention_weights(q.value(), k.value(), masks, law), q.value().dtype());
  } catch (const UserError& error) {
    graph_of({q, k}).refuse("attention_weights", q.where(), fmt::format("[attention] {}", error.reason));
    return none;
  }
}

Value attention_weights_of(const Value& y) {
  const Graph graph = y.graph();
  const Node& node = graph.node(y);
  WEFT_CHECK(node.op == &attention_op(), "'{}' ({}) is no attention but the op {}", node.name, str(node.where),
             node.op->name);
  Values in;
  for (const ValueRef& operand : node.operands) in.push_back(operand.node == no_node ? Value{} : graph.value(operand));
  return cast(
      plain_attention_weights(in[0], in[1], attention_masks(in, AttentionIn::count), AttentionLaw(node.attributes)),
      in[0].dtype());
}

namespace {

// x [batch, time] or [time] as `shape` says, seen from inside of a function of scores.
Value inside(const Value& index, const Arg& x, int axis, const char* what) {
  const Value& value = x.value();
  if (!value.valid()) return value;
  WEFT_CHECK(value.rank() == 1 || value.rank() == 2, "{} needs [batch, time] or [time], got {}", what,
             value.shape().str());
  Shape shape{1, 1, 1, 1};
  if (value.rank() == 2) shape[0] = value.dim(0);
  shape[axis] = value.dim(value.rank() - 1);
  const Value placed = reshape(value, shape);
  Graph graph = index.graph();
  return placed.graph() == graph ? placed : graph.captured(placed);
}

}  // namespace

Value AttentionPlace::at_query(const Arg& x) const { return inside(query, x, 2, "at_query"); }
Value AttentionPlace::at_key(const Arg& x) const { return inside(key, x, 3, "at_key"); }

Value padding_mask(const Arg& tokens, std::int64_t pad_id) {
  const auto line = called_at({tokens});
  const Value visible = not_equal(tokens, pad_id);
  if (!visible.valid()) return visible;
  WEFT_CHECK(visible.rank() == 2, "padding_mask needs tokens [batch, time], got {}", visible.shape().str());
  return reshape(visible, {visible.dim(0), 1, 1, visible.dim(1)});
}

}  // namespace weft
