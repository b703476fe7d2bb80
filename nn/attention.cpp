#include <weft/nn/attention.h>

#include <weft/nn/key_value_cache.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/dropout.h>
#include <weft/ops/shape/arrange.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <cmath>
#include <vector>

namespace weft::nn {

AttentionConfig AttentionConfig::checked(const std::string& name, std::source_location where) const {
  const auto check = [&](bool holds, const std::string& rule, const std::string& got) {
    WEFT_CHECK(holds, "attention '{}' ({}): {}, got {}", name, str(where), rule, got);
  };
  const auto number = [](auto x) { return fmt::format("{}", x); };
  AttentionConfig c = *this;
  check(heads > 0 && width > 0 && (head_width != 0 || width % heads == 0),
        "the width must be a positive multiple of heads, or head_width be given",
        fmt::format("width {} and {} heads", width, heads));
  if (c.kv_heads == 0) c.kv_heads = heads;
  check(c.kv_heads > 0 && heads % c.kv_heads == 0, "kv_heads must divide heads",
        fmt::format("{} kv_heads and {} heads", c.kv_heads, heads));
  if (c.key_width == 0) c.key_width = width;
  if (c.value_width == 0) c.value_width = width;
  if (c.head_width == 0) c.head_width = width / heads;
  if (c.value_head_width == 0) c.value_head_width = c.head_width;
  check(c.key_width > 0, "key_width must be positive", number(c.key_width));
  check(c.value_width > 0, "value_width must be positive", number(c.value_width));
  check(c.head_width > 0, "head_width must be positive", number(c.head_width));
  check(c.value_head_width > 0, "value_head_width must be positive", number(c.value_head_width));
  check(dropout >= 0 && dropout < 1, "dropout must be in [0, 1)", number(dropout));
  check(out_dropout >= 0 && out_dropout < 1, "out_dropout must be in [0, 1)", number(out_dropout));
  check(temperature > 0 && std::isfinite(temperature), "the temperature must be positive", number(temperature));
  check(!window || *window >= 1, "a window must be at least 1", number(window.value_or(1)));
  check(is_float(dtype), "dtype must be floating", std::string(name_of(dtype)));
  check(
      !(add_bias_kv || add_zero_attn) || !(causal || window),
      "keys of add_bias_kv and add_zero_attn have no place, so causal and window cannot go with them; hint: attn_mask",
      "both");
  return c;
}

AttentionCore::AttentionCore(Graph graph, std::string path, const AttentionConfig& given, const char* out_name,
                             std::source_location where)
    : name(std::move(path)), config(given.checked(name, where)) {
  const auto scope = graph.scope(name, where);
  out = Linear(graph, out_name,
               {.in = config.heads * config.value_head_width,
                .out = config.width,
                .bias = config.bias,
                .dtype = config.dtype,
                .init = config.out_init ? config.out_init : config.init},
               where);
  if (!config.add_bias_kv) return;
  const auto extra = [&](const char* which, std::int64_t n) {
    return graph.parameter(which, {config.dtype, {1, 1, n}}, init::xavier_normal(n, n));
  };
  bias_k = extra("bias_k", config.k_rows());
  bias_v = extra("bias_v", config.v_rows());
}

Value AttentionCore::split_heads(const Value& x, std::int64_t count) {
  if (!x.valid() || x.rank() != 3) return x;  // attention reports the shape
  return reshape(x, {x.dim(0), x.dim(1), count, x.shape().extent(2) / count});
}

AttentionOptions AttentionCore::options(AttentionOptions call, std::source_location where) const {
  call.causal = call.causal || config.causal;
  call.temperature *= config.temperature;
  call.dropout = config.dropout;
  if (call.window == 0) call.window = config.window.value_or(0);
  const bool by_place =
      call.causal || call.window != 0 || call.offset || !call.lengths.absent() || !call.start.absent();
  WEFT_CHECK(!(config.add_bias_kv || config.add_zero_attn) || !by_place,
             "attention '{}' ({}): keys of add_bias_kv and add_zero_attn have no place, so causal, window, offset, "
             "lengths and start cannot go with them; hint: say it by a mask",
             name, str(where));
  return call;
}

namespace {

// PyTorch's order: the sequence, the learned key, the zeros.
Value with_extra(const Value& x, const Value& learned, bool zero) {
  const Shape one{x.dim(0), 1, x.dim(2), x.dim(3)};
  std::vector<Value> parts{x};
  if (learned.valid()) parts.push_back(broadcast_to(reshape(learned, {1, 1, x.dim(2), x.dim(3)}), one));
  if (zero) parts.push_back(zeros(x.graph(), one, x.dtype()));
  return concatenate(parts, 1);
}

// What broadcasts to scores of time_k keys, with `value` for `extra` more.
Value over_extra(const Value& x, const Dim& time_k, std::int64_t extra, double value) {
  if (!x.valid() || x.rank() == 0) return x;
  Shape whole = x.shape();
  whole[-1] = time_k;
  std::vector<Padding> padding(static_cast<std::size_t>(x.rank()));
  padding.back().after = extra;
  return pad(x.shape() == whole ? x : broadcast_to(x, whole), padding, value);
}

}  // namespace

// Every query may attend to the extra keys, and nothing is added to their scores.
AttentionCore::Call AttentionCore::prepared(AttentionHeads heads, const AttentionOptions& call,
                                            std::source_location where) const {
  AttentionOptions all = options(call, where);
  const std::int64_t extra = (config.add_bias_kv ? 1 : 0) + (config.add_zero_attn ? 1 : 0);
  const auto fits = [](const Value& x) { return x.valid() && x.rank() == 4; };  // else attention says what is wrong
  if (extra > 0 && fits(heads.k) && fits(heads.v)) {
    all.mask = over_extra(all.mask, heads.k.dim(1), extra, 1);
    all.bias = over_extra(all.bias, heads.k.dim(1), extra, 0);
    heads.k = with_extra(heads.k, bias_k, config.add_zero_attn);
    heads.v = with_extra(heads.v, bias_v, config.add_zero_attn);
  }
  return {heads, all};
}

Value AttentionCore::merged(const Value& y) const {
  if (!y.valid()) return y;
  return weft::dropout(out(reshape(y, {y.dim(0), y.dim(1), y.dim(2) * y.dim(3)})), config.out_dropout);
}

Value AttentionCore::attend(const AttentionHeads& heads, const AttentionOptions& call,
                            std::source_location where) const {
  const auto scope = out.weight.graph().scope(name, where);
  const Call c = prepared(heads, call, where);
  return merged(attention(c.heads.q, c.heads.k, c.heads.v, c.options));
}

AttentionResult AttentionCore::attend_with_weights(const AttentionHeads& heads, const AttentionOptions& call,
                                                   std::source_location where) const {
  const auto scope = out.weight.graph().scope(name, where);
  const Call c = prepared(heads, call, where);
  const Value y = attention(c.heads.q, c.heads.k, c.heads.v, c.options);
  if (!y.valid()) return {y, y};
  return {merged(y), attention_weights(c.heads.q, c.heads.k, c.options)};
}

Value AttentionCore::attend(const AttentionHeads& heads, KeyValueCache& cache, const AttentionOptions& call,
                            std::source_location where) const {
  const auto scope = out.weight.graph().scope(name, where);
  cache.append(Arg(heads.k, where), Arg(heads.v, where));
  AttentionOptions all = call;
  all.causal = true;
  return merged(cache.attend(Arg(heads.q, where), options(std::move(all), where)));
}

Value AttentionCore::attend(const Value& q, const KeyValueCache& cache, const AttentionOptions& call,
                            std::source_location where) const {
  const auto scope = out.weight.graph().scope(name, where);
  return merged(cache.attend(Arg(q, where), options(call, where)));
}

Value AttentionCore::output(const Value& y, std::source_location where) const {
  const auto scope = out.weight.graph().scope(name, where);
  WEFT_CHECK(!y.valid() || y.rank() == 4,
             "attention '{}' ({}): expected [batch, time_q, heads, value_head_width], got {}", name, str(where),
             y.type().str());
  return merged(y);
}

Attention::Attention(Graph graph, std::string path, const AttentionConfig& given, std::source_location where)
    : AttentionCore(graph, std::move(path), given, "out", where) {
  const auto scope = graph.scope(name, where);
  const auto linear_of = [&](const char* part, std::int64_t in, std::int64_t rows) {
    return Linear(graph, part, {.in = in, .out = rows, .bias = config.bias, .dtype = config.dtype, .init = config.init},
                  where);
  };
  query = linear_of("query", config.width, config.q_rows());
  key = linear_of("key", config.key_width, config.k_rows());
  value = linear_of("value", config.value_width, config.v_rows());
}

Value Attention::project_queries(const Arg& q) const {
  const auto scope = out.weight.graph().scope(name, q.where());
  return split_heads(query(q), config.heads);
}

AttentionHeads Attention::project_memory(const Arg& k, const Arg& v) const {
  const auto scope = out.weight.graph().scope(name, k.where());
  const Value values = split_heads(value(v), config.kv_heads);
  return {{}, split_heads(key(k), config.kv_heads), values};
}

AttentionHeads Attention::project(const Arg& q, const Arg& k, const Arg& v) const {
  const auto line = out.weight.graph().scope("", q.where());
  AttentionHeads heads = project_memory(k, v);
  heads.q = project_queries(q);
  return heads;
}

}  // namespace weft::nn
