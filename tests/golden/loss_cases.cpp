#include "golden.h"

#include <weft/ops/loss/cross_entropy.h>
#include <weft/ops/loss/loss.h>
#include <weft/ops/norm/softmax.h>
#include <weft/ops/pointwise/arithmetic.h>

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
      {"mse", output([](const Case& c) { return mean_of(mse_loss(c.in("input"), c.in("target"))); })},
      {"bce_logits",
       output([](const Case& c) { return mean_of(binary_cross_entropy_with_logits(c.in("x"), c.in("t"))); })},
      // The case feeds logits of both.
      {"kl_div", output([](const Case& c) { return mean_of(kl_div(log_softmax(c.in("x")), softmax(c.in("t")))); })},
  };
}

}  // namespace golden
