#include "golden.h"
#include "packed.h"

#include <weft/ops/attention.h>

namespace golden {

using namespace weft;

namespace {

// The files hold [batch, heads, time, width].
Value attend(const Case& c, const AttentionOptions& options = {}) {
  auto heads_last = [](const Value& x) { return transpose(x, 1, 2); };
  return heads_last(attention(heads_last(c.in("q")), heads_last(c.in("k")), heads_last(c.in("v")), options));
}

}  // namespace

Cases attention_cases() {
  return {
      {"sdpa", output([](const Case& c) { return attend(c); })},
      {"sdpa_causal", output([](const Case& c) { return attend(c, {.causal = true}); })},
      {"sdpa_bias", output([](const Case& c) { return attend(c, {.bias = c.in("m")}); })},
      {"sdpa_gqa", output([](const Case& c) { return attend(c, {.causal = true}); })},
      {"mha_self", outputs([](const Case& c) {
         const MultiheadResult result = packed_attention(c, "", 2, c.in("x"), c.in("x"));
         return std::vector<Value>{result.y, result.weights};
       })},
      {"mha_padding", outputs([](const Case& c) {
         const MultiheadResult result = packed_attention(c, "", 2, c.in("x"), c.in("x"), {.mask = keep_mask(c.in("kpm"))});
         return std::vector<Value>{result.y, result.weights};
       })},
      {"mha_cross_kdim", outputs([](const Case& c) {
         const Value bias = c.p("in_proj_bias");
         const Value q = linear(c.in("q"), c.p("q_proj_weight"), third(bias, 0));
         const Value k = linear(c.in("k"), c.p("k_proj_weight"), third(bias, 1));
         const Value v = linear(c.in("v"), c.p("v_proj_weight"), third(bias, 2));
         const MultiheadResult result = projected_attention(c, "", 4, q, k, v);
         return std::vector<Value>{result.y, result.weights};
       })},
  };
}

}  // namespace golden
