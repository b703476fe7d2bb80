#include <weft/ops/arithmetic.h>
#include <weft/optim/clip.h>
#include <weft/optim/settle.h>

namespace weft {

Transform clip_global_norm(double max_norm, std::source_location where) {
  WEFT_CHECK(max_norm > 0, "clip_global_norm needs a positive norm, got {}", max_norm);
  return {.name = "clip_global_norm",
          .claim = Claim::changes_meaning,
          .needs = {"gradients"},
          .forbids = {"optimized"},
          .promises = {"settled", "clipped"},
          .apply = [max_norm, where](Step step) {
            const auto line = step.graph.scope("", where);
            settle_gradients(step);
            const auto scope = step.graph.scope("clip_global_norm");
            const auto phase = step.graph.phase(Phase::step);
            const Value norm = step.fetch("grad_norm");
            const Value factor = minimum(divide(max_norm, add(norm, 1e-6)), 1.0);
            for (Gradient& gradient : step.gradients) {
              const auto origin = step.graph.made_by("clip_global_norm", gradient.value.ref().node);
              gradient.value = multiply(gradient.value, cast(factor, gradient.value.dtype()));
              gradient.tags.clipped = true;
            }
            return step;
          }};
}

}  // namespace weft
