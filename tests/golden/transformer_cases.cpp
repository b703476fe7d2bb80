#include "golden.h"
#include "packed.h"

#include <weft/ops/norm/layer_norm.h>
#include <weft/ops/product/feed_forward.h>

namespace golden {

using namespace weft;

namespace {

constexpr std::int64_t heads = 2;

// A layer of PyTorch's transformer whose parameters begin with `path`.
struct Layer {
  const Case& c;
  std::string path;
  bool norm_first;
  std::string activation;

  Value norm(const Value& x, int number) const {
    const std::string name = path + fmt::format("norm{}.", number);
    return layer_norm(x, c.p(name + "weight"), c.p(name + "bias"));
  }
  // x + branch(norm(x)), or norm(x + branch(x)).
  template <class F>
  Value branch(const Value& x, int number, F f) const {
    return norm_first ? x + f(norm(x, number)) : norm(x + f(x), number);
  }
  Value self_attention(const Value& x, int number, const AttentionOptions& options) const {
    return branch(x, number,
                  [&](const Value& v) { return packed_attention(c, path + "self_attn.", heads, v, v, options).y; });
  }
  Value cross_attention(const Value& x, int number, const Value& memory, const Value& mask) const {
    return branch(x, number, [&](const Value& v) {
      return packed_attention(c, path + "multihead_attn.", heads, v, memory, {.mask = mask}).y;
    });
  }
  Value feed_forward_branch(const Value& x, int number) const {
    return branch(x, number, [&](const Value& v) {
      return feed_forward(
          v, c.p(path + "linear1.weight"), c.p(path + "linear2.weight"),
          {.bias1 = c.p(path + "linear1.bias"), .bias2 = c.p(path + "linear2.bias"), .activation = activation});
    });
  }
  Value encode(const Value& x, const AttentionOptions& options) const {
    return feed_forward_branch(self_attention(x, 1, options), 2);
  }
  Value decode(const Value& x, const Value& memory, const Value& mask) const {
    return feed_forward_branch(cross_attention(self_attention(x, 1, {.causal = true}), 2, memory, mask), 3);
  }
};

Value transformer(const Case& c) {
  const Value mask = keep_mask(c.in("kpm"));
  auto final_norm = [&](const Value& x, const std::string& part) {
    return layer_norm(x, c.p(part + ".norm.weight"), c.p(part + ".norm.bias"));
  };
  Value memory = c.in("s");
  for (int i = 0; i < 2; ++i)
    memory = Layer{c, fmt::format("encoder.layers.{}.", i), true, "gelu"}.encode(memory, {.mask = mask});
  memory = final_norm(memory, "encoder");
  Value x = c.in("t");
  for (int i = 0; i < 2; ++i) x = Layer{c, fmt::format("decoder.layers.{}.", i), true, "gelu"}.decode(x, memory, mask);
  return final_norm(x, "decoder");
}

}  // namespace

Cases transformer_cases() {
  Cases cases{{"transformer", output(transformer)}};
  for (const bool norm_first : {false, true}) {
    for (const std::string activation : {"relu", "gelu"}) {
      const std::string suffix = std::string(norm_first ? "pre_" : "post_") + activation;
      cases.emplace("encoder_layer_" + suffix, output([=](const Case& c) {
                      return Layer{c, "", norm_first, activation}.encode(c.in("x"), {.causal = true});
                    }));
      cases.emplace("decoder_layer_" + suffix, output([=](const Case& c) {
                      return Layer{c, "", norm_first, activation}.decode(c.in("x"), c.in("mem"),
                                                                         keep_mask(c.in("kpm")));
                    }));
    }
  }
  return cases;
}

}  // namespace golden
