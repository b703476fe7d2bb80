#include "golden.h"

#include <weft/ops/index/embedding.h>
#include <weft/ops/index/index.h>
#include <weft/ops/norm/layer_norm.h>
#include <weft/ops/norm/rms_norm.h>
#include <weft/ops/norm/softmax.h>
#include <weft/ops/pointwise/activation.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/product/einsum.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/reduce/scan.h>
#include <weft/ops/shape/movement.h>

namespace golden {

using namespace weft;

Cases basic_cases() {
  auto of_x = [](Value (*function)(const Arg&)) {
    return output([function](const Case& c) { return function(c.in("x")); });
  };
  auto softmax_over = [](int axis) { return output([axis](const Case& c) { return softmax(c.in("x"), axis); }); };
  return {
      {"linear", output([](const Case& c) { return linear(c.in("x"), c.in("w"), c.in("b")); })},
      {"matmul_broadcast", output([](const Case& c) { return matmul(c.in("a"), c.in("b")); })},
      {"einsum_bhqd", output([](const Case& c) { return einsum("bqhd,bkhd->bhqk", {c.in("a"), c.in("b")}); })},
      {"layer_norm", output([](const Case& c) { return layer_norm(c.in("x"), c.in("w"), c.in("b")); })},
      {"layer_norm_2dims",
       output([](const Case& c) { return layer_norm(c.in("x"), c.in("w"), c.in("b"), {.axes = 2, .eps = 1e-3}); })},
      {"rms_norm", output([](const Case& c) { return rms_norm(c.in("x"), c.in("w")); })},
      {"gather", output([](const Case& c) { return gather(c.in("x"), 1, c.in("i")); })},
      {"cumsum", of_x([](const Arg& x) { return cumsum(x, 1); })},
      {"gelu_erf", of_x([](const Arg& x) { return gelu(x); })},
      {"gelu_tanh", of_x([](const Arg& x) { return gelu_tanh(x); })},
      {"silu", of_x(silu)},
      {"mish", of_x(mish)},
      {"softplus", of_x([](const Arg& x) { return softplus(x); })},
      {"elu", of_x([](const Arg& x) { return elu(x); })},
      {"selu", of_x(selu)},
      {"leaky_relu", of_x([](const Arg& x) { return leaky_relu(x); })},
      {"hardswish", of_x(hardswish)},
      {"tanh", of_x(tanh)},
      {"sigmoid", of_x(sigmoid)},
      {"softmax_axis0", softmax_over(0)},
      {"softmax_axis1", softmax_over(1)},
      {"softmax_axis-1", softmax_over(-1)},
      {"log_softmax_big", output([](const Case& c) { return log_softmax(c.in("x")); })},
      {"logsumexp", output([](const Case& c) { return logsumexp(c.in("x"), {.axis = 1}); })},
      {"embedding_repeats",
       output([](const Case& c) { return embedding(c.in("w"), c.in("i"), {.padding_index = 2}); })},
      {"max_reduce", output([](const Case& c) { return max(c.in("x"), {.axes = {-1}}); })},
      {"where_mask", output([](const Case& c) { return softmax(where(c.in("m"), -1e9, c.in("x"))); })},
      {"slice_cat", output([](const Case& c) {
         const Value x = c.in("x");
         return concatenate({slice(x, {.axis = 1, .start = 1, .stop = 3}), slice(x, {.axis = 1, .step = 2}), c.in("y")},
                            1);
       })},
  };
}

}  // namespace golden
