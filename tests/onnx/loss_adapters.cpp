#include "adapters.h"

#include <weft/ops/loss/cross_entropy.h>
#include <weft/ops/loss/loss.h>
#include <weft/ops/norm/softmax.h>
#include <weft/ops/pointwise/arithmetic.h>

namespace onnx_node {

using namespace weft;

namespace {

Value reduced(const CrossEntropy& loss, const std::string& reduction) {
  if (reduction == "none") return loss.losses;
  return reduction == "sum" ? loss.sum : loss.sum / loss.weight;
}

// {loss, log-probabilities}; classes on axis 1.
Values softmax_cross_entropy(const Call& c) {
  const CrossEntropyOptions options{
      .ignore_index = c.integer("ignore_index", -100), .class_weights = c.optional(2), .class_axis = 1};
  return {reduced(cross_entropy_terms(c.in(0), c.in(1), options), c.text("reduction", "mean")),
          log_softmax(c.in(0), 1)};
}

Value negative_log_likelihood(const Call& c) {
  const NllOptions options{.ignore_index = c.integer("ignore_index", -100), .weight = c.optional(2), .class_axis = 1};
  const std::string reduction = c.text("reduction", "mean");
  if (reduction == "none") return nll_losses(c.in(0), c.in(1), options);
  const LossTerm loss = nll_loss(c.in(0), c.in(1), options).terms.front();
  return reduction == "sum" ? loss.sum : loss.sum / loss.weight;
}

}  // namespace

Adapters loss_adapters() {
  return {
      {"NegativeLogLikelihoodLoss", negative_log_likelihood},
      {"SoftmaxCrossEntropyLoss", softmax_cross_entropy},
  };
}

}  // namespace onnx_node
