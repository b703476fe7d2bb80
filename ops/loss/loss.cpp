#include <weft/ops/loss/loss.h>

#include <weft/ops/kit/build.h>
#include <weft/ops/pointwise/activation.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/wide.h>

namespace weft {
namespace {

bool failed(std::initializer_list<Arg> args) {
  for (const Arg& arg : args)
    if (!arg.is_number() && !arg.value().valid()) return true;
  return false;
}

// One that failed stands for the loss of it.
Value failure(std::initializer_list<Arg> args) {
  for (const Arg& arg : args)
    if (!arg.is_number() && !arg.value().valid()) return arg.value();
  return {};
}

void expect_tensor(const Arg& input, std::string_view loss) {
  WEFT_CHECK(!input.is_number(), "{}: the input must be a Value, got the number {} ({})", loss, input.number(),
             str(input.where()));
}

void expect_one_shape(const Arg& input, const Arg& other, std::string_view loss, std::string_view what) {
  if (other.is_number()) return;
  WEFT_CHECK(other.value().shape() == input.value().shape(),
             "{}: {} must be of the input's shape {}, got {} ({}); hint: broadcast_to", loss, what,
             input.value().shape().str(), other.value().shape().str(), str(input.where()));
}

Arg widened(const Arg& x) {
  if (x.is_number() || !is_float(x.value().dtype())) return x;
  return {cast(x, wide(x.value().dtype())), x.where()};
}

// input - target, in the wide type
Value difference(const Arg& input, const Arg& target, std::string_view loss) {
  expect_tensor(input, loss);
  if (failed({input, target})) return failure({input, target});
  expect_one_shape(input, target, loss, "the target");
  return subtract(widened(input), widened(target));
}

// The number of elements, from the named extents of the shape: it follows the batch, and costs no pass over x.
Value count_of(const Value& x) {
  Shape named;
  double rest = 1;
  for (const Dim& dim : x.shape()) {
    if (dim.factors().empty()) rest *= static_cast<double>(dim.value());
    else named.push_back(dim);
  }
  const Value parts = full(x.graph(), named, x.dtype(), rest);
  return named.rank() == 0 ? parts : sum(parts);
}

Loss of(const Value& losses, const Value& weight = {}) { return weighted_mean(losses, weight); }
// The mean of w_i losses_i over the elements: the weight does not enter the divisor.
Loss mean_of(const Value& losses, const Value& weight) {
  if (weight.absent() || !losses.valid() || !weight.valid()) return of(losses, weight);
  return of(losses * cast(weight, losses.dtype()));
}

}  // namespace

Loss weighted_mean(const Arg& losses, const Value& weight) {
  const auto line = called_at({losses});
  expect_tensor(losses, "weighted_mean");
  if (failed({losses})) return LossTerm{1, losses.value(), losses.value()};
  const Value x = widened(losses).value();
  if (weight.absent()) return LossTerm{1, sum(x), count_of(x)};
  if (!weight.valid()) return LossTerm{1, weight, weight};
  Value w = is_float(weight.dtype()) && weight.dtype() == x.dtype() ? weight : cast(weight, x.dtype());
  if (!(w.shape() == x.shape())) w = broadcast_to(w, x.shape());
  return LossTerm{1, sum(x * w), sum(w)};
}

// --- of the difference d ---

Value mse_losses(const Arg& input, const Arg& target) {
  const auto line = called_at({input});
  return square(difference(input, target, "mse_loss"));
}
Loss mse_loss(const Arg& input, const Arg& target, const ErrorLossOptions& options) {
  const auto line = called_at({input});
  return of(mse_losses(input, target), options.weight);
}

Value l1_losses(const Arg& input, const Arg& target) {
  const auto line = called_at({input});
  return abs(difference(input, target, "l1_loss"));
}
Loss l1_loss(const Arg& input, const Arg& target, const ErrorLossOptions& options) {
  const auto line = called_at({input});
  return of(l1_losses(input, target), options.weight);
}

// With c = clamp(d, -delta, delta): c (d - c / 2), which is d^2 / 2 inside and delta (|d| - delta / 2) outside.
Value huber_losses(const Arg& input, const Arg& target, double delta) {
  const auto line = called_at({input});
  WEFT_CHECK(delta > 0, "huber_loss: delta must be above 0, got {} ({})", delta, str(input.where()));
  const Value d = difference(input, target, "huber_loss");
  const Value c = clamp(d, {.min = -delta, .max = delta});
  return c * (d - c * 0.5);
}
Loss huber_loss(const Arg& input, const Arg& target, const HuberOptions& options) {
  const auto line = called_at({input});
  return mean_of(huber_losses(input, target, options.delta), options.weight);
}

Value smooth_l1_losses(const Arg& input, const Arg& target, double beta) {
  const auto line = called_at({input});
  WEFT_CHECK(beta >= 0, "smooth_l1_loss: beta must be at least 0, got {} ({})", beta, str(input.where()));
  if (beta == 0) return l1_losses(input, target);
  return huber_losses(input, target, beta) / beta;
}
Loss smooth_l1_loss(const Arg& input, const Arg& target, const SmoothL1Options& options) {
  const auto line = called_at({input});
  return mean_of(smooth_l1_losses(input, target, options.beta), options.weight);
}

// --- binary cross entropy: no term is negative, so nothing cancels ---

Value binary_cross_entropy_with_logits_losses(const Arg& input, const Arg& target, const BceOptions& options) {
  const auto line = called_at({input});
  const char* name = "binary_cross_entropy_with_logits";
  expect_tensor(input, name);
  if (failed({input, target})) return failure({input, target});
  expect_one_shape(input, target, name, "the target");
  const Value x = widened(input).value();
  Arg t = widened(target);
  if (!t.is_number() && !is_float(t.value().dtype())) t = Arg(cast(t, x.dtype()), target.where());
  Value positive = multiply(logsigmoid(x), t);
  if (!options.pos_weight.absent()) positive = positive * widened(options.pos_weight);
  const Value negative = multiply(logsigmoid(-x), t.is_number() ? Arg(1 - t.number()) : Arg(1.0 - t.value()));
  const Value losses = -(positive + negative);
  return options.weight.absent() ? losses : losses * widened(options.weight);
}
Loss binary_cross_entropy_with_logits(const Arg& input, const Arg& target, const BceOptions& options) {
  const auto line = called_at({input});
  return of(binary_cross_entropy_with_logits_losses(input, target, options));
}

// --- Kullback-Leibler: where p = 0, neither log p nor log q may come near the gradient ---

Value kl_div_losses(const Arg& input, const Arg& target, const KlDivOptions& options) {
  const auto line = called_at({input});
  expect_tensor(input, "kl_div");
  expect_tensor(target, "kl_div");
  if (failed({input, target})) return failure({input, target});
  expect_one_shape(input, target, "kl_div", "the target");
  WEFT_CHECK(input.value().rank() >= 1, "kl_div: the input must be [.., classes], got {}", input.value().type().str());
  const Value q = widened(input).value(), t = widened(target).value();
  const Value p = options.log_target ? exp(t) : t;
  const Value counts = not_equal(p, 0.0);
  const Value log_p = options.log_target ? where(counts, t, 0.0) : log(where(counts, t, 1.0));
  return sum(p * (log_p - where(counts, q, 0.0)), {.axes = {-1}});
}
Loss kl_div(const Arg& input, const Arg& target, const KlDivOptions& options) {
  const auto line = called_at({input});
  return of(kl_div_losses(input, target, options));
}

// --- cosines ---

Value cosine_similarity(const Arg& a, const Arg& b, const CosineSimilarityOptions& options) {
  const auto line = called_at({a});
  expect_tensor(a, "cosine_similarity");
  expect_tensor(b, "cosine_similarity");
  if (failed({a, b})) return failure({a, b});
  const Value x = widened(a).value(), y = widened(b).value();
  const auto along = [&](const Value& v) { return sum(v, {.axes = {options.axis}}); };
  const auto inverse_norm = [&](const Value& v) {
    return rsqrt(clamp(along(square(v)), {.min = options.eps * options.eps}));
  };
  return along(x * y) * inverse_norm(x) * inverse_norm(y);
}

Value cosine_embedding_losses(const Arg& a, const Arg& b, const Arg& target, const CosineEmbeddingOptions& options) {
  const auto line = called_at({a});
  const char* name = "cosine_embedding_loss";
  expect_tensor(a, name);
  expect_tensor(b, name);
  expect_tensor(target, name);
  if (failed({a, b, target})) return failure({a, b, target});
  expect_one_shape(a, b, name, "the second input");
  const Shape& shape = a.value().shape();
  WEFT_CHECK(shape.rank() >= 1 && target.value().shape() == Shape(std::vector<Dim>(shape.begin(), shape.end() - 1)),
             "{}: the inputs must be [.., width] with targets [..], got {} and {}", name, shape.str(),
             target.value().shape().str());
  constexpr double eps = 1e-12;
  const Value x = widened(a).value(), y = widened(b).value();
  const auto along = [](const Value& v) { return sum(v, {.axes = {-1}}); };
  const Value cosine = along(x * y) * rsqrt(along(square(x)) + eps) * rsqrt(along(square(y)) + eps);
  const Value near = where(equal(target, 1), 1.0 - cosine, 0.0);
  const Value far = where(equal(target, -1), clamp(cosine - options.margin, {.min = 0}), 0.0);
  return near + far;
}
Loss cosine_embedding_loss(const Arg& a, const Arg& b, const Arg& target, const CosineEmbeddingOptions& options) {
  const auto line = called_at({a});
  return of(cosine_embedding_losses(a, b, target, options));
}

}  // namespace weft
