#include <weft/ops/arithmetic.h>
#include <weft/ops/reduce.h>
#include <weft/ops/unary.h>
#include <weft/optim/settle.h>

namespace weft {

void settle_gradients(Step& step) {
  if (step.finite.valid()) return;
  const auto scope = step.graph.scope("settle");
  const auto phase = step.graph.phase(Phase::step);
  Value total;
  for (Gradient& gradient : step.gradients) {
    const bool weighted = !gradient.tags.weight_normalised;
    if (weighted || gradient.tags.scaled) {
      Value by = weighted ? cast(step.gradient_weight, f64) : step.loss_scale->scale;
      if (weighted && gradient.tags.scaled) by = multiply(by, step.loss_scale->scale);
      gradient.value = multiply(gradient.value, cast(divide(1.0, by), gradient.value.dtype()));
      gradient.tags.weight_normalised = true;
      gradient.tags.scaled = false;
    }
    const auto origin = step.graph.made_by("settle_gradients", gradient.value.ref().node);
    const Value squares = sum_squares(gradient.value);
    const Value wide = squares.dtype() == f64 ? squares : cast(squares, f64);
    total = total.valid() ? add(total, wide) : wide;
    gradient.tags.finite_checked = true;
  }
  const Value norm = sqrt(total);
  const Value finite = isfinite(norm);
  step.set_fetch("grad_norm", norm);
  step.set_fetch("finite", finite);
  step.finite = step.due.valid() ? logical_and(finite, step.due) : finite;
}

}  // namespace weft
