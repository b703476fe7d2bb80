#include "golden.h"

#include <weft/graph/rewrite.h>
#include <weft/nn/multihead_attention.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <array>

namespace golden {

using namespace weft;

namespace {

// The files hold [batch, heads, time, width].
Value attend(const Case& c, const AttentionOptions& options = {}) {
  auto heads_last = [](const Value& x) { return transpose(x, 1, 2); };
  return heads_last(attention(heads_last(c.in("q")), heads_last(c.in("k")), heads_last(c.in("v")), options));
}

// The module on the file's inputs: results and gradients by the file's parameters, found by PyTorch's names.
std::vector<Value> multihead(const Case& c, nn::AttentionConfig config, const std::array<const char*, 3>& in,
                             const nn::MultiheadOptions& options = {}) {
  config.dtype = f64;
  const nn::MultiheadAttention attention(c.graph(), "attention", config);
  const auto [y, weights] = attention.with_weights(c.in(in[0]), c.in(in[1]), c.in(in[2]), options);
  std::vector<std::pair<Value, Value>> given;
  for (const Value& parameter : c.graph().parameters()) {
    std::string name = parameter.name().substr(std::string("attention/").size());
    std::ranges::replace(name, '/', '.');
    given.emplace_back(parameter, c.p(name));
  }
  return substitute({y, weights}, given);
}

}  // namespace

Cases attention_cases() {
  return {
      {"sdpa", output([](const Case& c) { return attend(c); })},
      {"sdpa_causal", output([](const Case& c) { return attend(c, {.causal = true}); })},
      {"sdpa_bias", output([](const Case& c) { return attend(c, {.bias = c.in("m")}); })},
      {"sdpa_gqa", output([](const Case& c) { return attend(c, {.causal = true}); })},
      {"mha_self", outputs([](const Case& c) { return multihead(c, {.width = 8, .heads = 2}, {"x", "x", "x"}); })},
      {"mha_padding", outputs([](const Case& c) {
         return multihead(c, {.width = 8, .heads = 2}, {"x", "x", "x"}, {.key_padding_mask = logical_not(c.in("kpm"))});
       })},
      {"mha_cross_kdim", outputs([](const Case& c) {
         const auto width_of = [&](const char* name) { return c.in(name).shape().extent(2); };
         return multihead(
             c, {.width = width_of("q"), .heads = 4, .key_width = width_of("k"), .value_width = width_of("v")},
             {"q", "k", "v"});
       })},
  };
}

}  // namespace golden
