// Parameters as PyTorch packs them: query, key and value in one matrix.
#pragma once

#include "golden.h"

#include <weft/ops/attention/attention.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/shape/movement.h>

namespace golden {

/// Rows [part n / 3, (part + 1) n / 3).
inline Value third(const Value& packed, std::int64_t part) {
  const std::int64_t n = packed.shape().extent(0) / 3;
  return weft::slice(packed, {.axis = 0, .start = part * n, .stop = (part + 1) * n});
}

/// key_padding_mask [batch, time], true where ignored, as a mask of what may be seen.
inline Value keep_mask(const Value& padding) {
  return weft::reshape(weft::logical_not(padding), {padding.dim(0), 1, 1, padding.dim(1)});
}

struct MultiheadResult {
  Value y, weights;
};

/// After the projections: q, k, v [batch, time, width].
inline MultiheadResult projected_attention(const Case& c, const std::string& path, std::int64_t heads, const Value& q,
                                           const Value& k, const Value& v, const weft::AttentionOptions& options = {}) {
  auto split = [heads](const Value& x) { return weft::reshape(x, {x.dim(0), x.dim(1), heads, x.dim(2) / heads}); };
  const Value seen = weft::attention(split(q), split(k), split(v), options);
  const Value y = weft::linear(weft::reshape(seen, {q.dim(0), q.dim(1), q.dim(2)}), c.p(path + "out_proj.weight"),
                               c.p(path + "out_proj.bias"));
  return {y, weft::attention_weights(split(q), split(k), options)};
}

/// nn.MultiheadAttention whose parameters begin with `path`, queries from x, keys and values from `memory`.
inline MultiheadResult packed_attention(const Case& c, const std::string& path, std::int64_t heads, const Value& x,
                                        const Value& memory, const weft::AttentionOptions& options = {}) {
  const Value weight = c.p(path + "in_proj_weight");
  const Value bias = c.p(path + "in_proj_bias");
  auto project = [&](const Value& from, std::int64_t part) {
    return weft::linear(from, third(weight, part), third(bias, part));
  };
  return projected_attention(c, path, heads, project(x, 0), project(memory, 1), project(memory, 2), options);
}

}  // namespace golden
