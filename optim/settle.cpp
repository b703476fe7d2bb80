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
    WEFT_INVARIANT(!gradient.tags.scaled && gradient.tags.weight_normalised, "the gradient of {} has tags that nothing undoes",
                   gradient.parameter.name());
    const auto origin = step.graph.made_by("settle_gradients", gradient.value.ref().node);
    const Value squares = sum_squares(gradient.value);
    const Value wide = squares.dtype() == f64 ? squares : cast(squares, f64);
    total = total.valid() ? add(total, wide) : wide;
    gradient.tags.finite_checked = true;
  }
  const Value norm = sqrt(total);
  step.finite = isfinite(norm);
  step.set_fetch("grad_norm", norm);
  step.set_fetch("finite", step.finite);
}

}  // namespace weft
