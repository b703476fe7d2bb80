#include "golden.h"

#include <weft/ops/softmax.h>
#include <weft/ops/arithmetic.h>
#include <weft/ops/cross_entropy.h>
#include <weft/ops/reduce.h>
#include <weft/ops/unary.h>

namespace golden {

using namespace weft;

namespace {

Value mean_of(const Loss& loss) { return loss.terms.front().sum / loss.terms.front().weight; }
Value sum_of(const Loss& loss) { return loss.terms.front().sum; }

}  // namespace

Cases loss_cases() {
  return {
      {"ce_mean", output([](const Case& c) { return mean_of(cross_entropy(c.in("x"), c.in("t"))); })},
      {"ce_sum_smooth",
       output([](const Case& c) { return sum_of(cross_entropy(c.in("x"), c.in("t"), {.label_smoothing = 0.1})); })},
      {"ce_mean_smooth",
       output([](const Case& c) { return mean_of(cross_entropy(c.in("x"), c.in("t"), {.label_smoothing = 0.1})); })},
      {"ce_weighted_smooth", output([](const Case& c) {
         return mean_of(cross_entropy(c.in("x"), c.in("t"), {.label_smoothing = 0.2, .class_weights = c.in("w")}));
       })},
      {"ce_none", output([](const Case& c) { return token_losses(c.in("x"), c.in("t"), {.class_axis = 1}); })},
      {"ce_soft_targets", output([](const Case& c) { return mean_of(soft_cross_entropy(c.in("x"), c.in("t"))); })},
      {"mse", output([](const Case& c) { return mean(square(c.in("input") - c.in("target"))); })},
      // max(x, 0) - x t + log(1 + exp(-|x|))
      {"bce_logits", output([](const Case& c) {
         const Value x = c.in("x");
         return mean(maximum(x, 0.0) - x * c.in("t") + log1p(exp(-abs(x))));
       })},
      // sum of p (log p - log q) over the rows; x holds log q
      {"kl_div", output([](const Case& c) {
         const Value p = softmax(c.in("t"), -1);  // the case feeds logits of both
         return sum(p * (log(p) - log_softmax(c.in("x"), -1))) / static_cast<double>(p.shape().extent(0));
       })},
  };
}

}  // namespace golden
