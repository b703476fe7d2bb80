#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/optim/gradient_norm.h>

#include <cmath>

namespace weft {
namespace {

// (sum of parts)^(1/p); of the largest elements the largest.
Value root(const Value& sum, double p) {
  if (std::isinf(p) || p == 1) return sum;
  return p == 2 ? sqrt(sum) : pow(sum, 1.0 / p);
}

Value part_of(const Value& gradient, double p) {
  if (p == 2) return sum_squares(gradient);
  if (std::isfinite(p)) return sum_powers(gradient, p);
  if (gradient.shape().count() == 0) return full(gradient.graph(), {}, f64, 0);  // nothing has no largest element
  return cast(maximum(max(gradient), negate(min(gradient))), f64);               // |x| without a copy of x
}

Value both(const Value& a, const Value& b) { return a.valid() ? logical_and(a, b) : b; }

}  // namespace

Value GradientNorm::of(std::size_t i) const { return root(parts.at(i), p); }

Value GradientNorm::all_norms_finite() const {
  Value finite;
  for (const Value& part : parts) finite = both(finite, isfinite(part));
  return finite;
}

Value GradientNorm::all_elements_finite(const Step& step) const {
  bool wide = false;
  for (const Gradient& gradient : step.gradients) wide |= gradient.value.dtype() == f64;
  // A double holds the square of every float and sums of very many, so their sum is finite exactly where all of them
  // are. Squares of doubles may overflow.
  if (!wide && (p <= 2 || std::isinf(p))) return isfinite(total);
  Value finite;
  for (const Gradient& gradient : step.gradients) finite = both(finite, all(isfinite(gradient.value)));
  return finite;
}

GradientNorm gradient_norm(const Step& step, double p, const std::string& pass) {
  WEFT_INVARIANT(!step.gradients.empty(), "{}: a step without gradients has no norm", pass);
  GradientNorm norm{p, {}, {}};
  Graph graph = step.graph;
  Value sum;
  for (const Gradient& gradient : step.gradients) {
    const auto origin = graph.made_by(pass, gradient.value.ref().node);
    const Value part = part_of(gradient.value, p);
    sum = !sum.valid() ? part : std::isinf(p) ? maximum(sum, part) : add(sum, part);
    norm.parts.push_back(part);
  }
  const auto origin = graph.made_by(pass, no_node);
  norm.total = root(sum, p);
  return norm;
}

std::string norm_name(double p) { return fmt::format("{}", p); }

}  // namespace weft
