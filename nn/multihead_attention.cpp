#include <weft/nn/multihead_attention.h>

#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/arrange.h>
#include <weft/ops/shape/movement.h>
#include <weft/ops/shape/unpack.h>

namespace weft::nn {

MultiheadAttention::MultiheadAttention(Graph graph, std::string path, const AttentionConfig& given,
                                       std::source_location where)
    : AttentionCore(graph, std::move(path), given, "out_proj", where) {
  const auto scope = graph.scope(name, where);
  const std::int64_t width = config.width, q = config.q_rows(), k = config.k_rows(), v = config.v_rows();
  const auto weight = [&](const char* which, std::int64_t rows, std::int64_t in) {
    return graph.parameter(which, {config.dtype, {rows, in}}, config.init.value_or(init::xavier_uniform(in, rows)));
  };
  if (config.key_width == width && config.value_width == width) {
    in_proj_weight = weight("in_proj_weight", q + k + v, width);
  } else {
    q_proj_weight = weight("q_proj_weight", q, width);
    k_proj_weight = weight("k_proj_weight", k, config.key_width);
    v_proj_weight = weight("v_proj_weight", v, config.value_width);
  }
  if (config.bias) in_proj_bias = graph.parameter("in_proj_bias", {config.dtype, {q + k + v}}, init::zeros());
}

AttentionHeads MultiheadAttention::heads_of(const Value& q, const Value& k, const Value& v) const {
  return {split_heads(q, config.heads), split_heads(k, config.kv_heads), split_heads(v, config.kv_heads)};
}

Value MultiheadAttention::project_queries(const Arg& q) const {
  const auto scope = out.weight.graph().scope(name, q.where());
  const std::int64_t rows = config.q_rows();
  const Value weight = in_proj_weight.valid() ? slice(in_proj_weight, {.stop = rows}) : q_proj_weight;
  const Value bias = in_proj_bias.valid() ? slice(in_proj_bias, {.stop = rows}) : Value{};
  return split_heads(linear(q, weight, bias), config.heads);
}

AttentionHeads MultiheadAttention::project_memory(const Arg& k, const Arg& v) const {
  const auto scope = out.weight.graph().scope(name, k.where());
  if (in_proj_weight.valid() && k.value() == v.value()) {
    const Value bias = in_proj_bias.valid() ? slice(in_proj_bias, {.start = config.q_rows()}) : Value{};
    const Value both = linear(k, slice(in_proj_weight, {.start = config.q_rows()}), bias);
    const auto parts = split(both, {config.k_rows(), config.v_rows()}, -1);
    return heads_of({}, parts[0], parts[1]);
  }
  const auto biases = split(in_proj_bias, rows(), 0);
  const auto weights = in_proj_weight.valid() ? split(in_proj_weight, rows(), 0)
                                              : std::vector<Value>{q_proj_weight, k_proj_weight, v_proj_weight};
  return heads_of({}, linear(k, weights[1], biases[1]), linear(v, weights[2], biases[2]));
}

AttentionHeads MultiheadAttention::project(const Arg& q, const Arg& k, const Arg& v) const {
  const auto line = out.weight.graph().scope("", q.where());
  if (!in_proj_weight.valid() || q.value() != k.value() || k.value() != v.value()) {
    AttentionHeads heads = project_memory(k, v);
    heads.q = project_queries(q);
    return heads;
  }
  const auto scope = out.weight.graph().scope(name);
  const Values parts = unpack(linear(q, in_proj_weight, in_proj_bias), config.q_rows(), config.k_rows());
  return heads_of(parts[0], parts[1], parts[2]);
}

AttentionOptions MultiheadAttention::masked(const MultiheadOptions& options, const AttentionHeads& heads,
                                            std::source_location where) const {
  const auto scope = out.weight.graph().scope(name, where);
  AttentionOptions all = options.attention;
  all.causal = all.causal || options.causal;
  const auto also = [&](const Value& mask) {
    Value& place = mask.dtype() == boolean ? all.mask : all.bias;
    const Value here = is_float(mask.dtype()) && mask.dtype() != heads.q.dtype() ? cast(mask, heads.q.dtype()) : mask;
    if (place.absent()) place = here;
    else place = mask.dtype() == boolean ? logical_and(place, here) : place + here;
  };
  if (!heads.q.valid() || !heads.k.valid() || heads.q.rank() != 4 || heads.k.rank() != 4) return all;
  const Dim batch = heads.q.dim(0), time_q = heads.q.dim(1), time_k = heads.k.dim(1);
  for (const Value& mask : {options.key_padding_mask, options.attn_mask})
    if (!mask.absent() && !mask.valid()) all.mask = mask;  // attention fails with it
  if (const Value& padding = options.key_padding_mask; padding.valid()) {
    WEFT_CHECK(padding.shape() == Shape({batch, time_k}) && (padding.dtype() == boolean || is_float(padding.dtype())),
               "attention '{}' ({}): key_padding_mask must be [batch, time_k] = {} of bool or a floating type, got {}",
               name, str(where), Shape({batch, time_k}).str(), padding.type().str());
    also(reshape(padding, {batch, 1, 1, time_k}));
  }
  if (const Value& mask = options.attn_mask; mask.valid()) {
    const Dim rows = batch * Dim(config.heads);
    WEFT_CHECK(mask.dtype() == boolean || is_float(mask.dtype()),
               "attention '{}' ({}): attn_mask must be of bool or a floating type, got {}", name, str(where),
               mask.type().str());
    const bool packed = mask.rank() == 3 && mask.dim(0) == rows && batch != Dim(1);
    also(packed ? reshape(mask, {batch, config.heads, time_q, time_k}) : mask);
  }
  return all;
}

Value MultiheadAttention::operator()(const Arg& q, const Arg& k, const Arg& v, const MultiheadOptions& options) const {
  const auto line = out.weight.graph().scope("", q.where());
  const AttentionHeads heads = project(q, k, v);
  return attend(heads, masked(options, heads, q.where()), q.where());
}

AttentionResult MultiheadAttention::with_weights(const Arg& q, const Arg& k, const Arg& v,
                                                 const MultiheadOptions& options) const {
  const auto line = out.weight.graph().scope("", q.where());
  const AttentionHeads heads = project(q, k, v);
  return attend_with_weights(heads, masked(options, heads, q.where()), q.where());
}

}  // namespace weft::nn
