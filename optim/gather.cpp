#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/step/micro.h>
#include <weft/optim/gather.h>

namespace weft {

Value gathered(const Value& value, const BatchState& state, std::int64_t micro_batches) {
  Graph graph = value.graph();
  const auto phase = graph.phase(Phase::step);
  if (state.kind == BatchState::Kind::split) return micro_stack(value, state, micro_batches);
  WEFT_INVARIANT(state.kind == BatchState::Kind::summed, "'{}' is {}, which nothing gathers", value.name(),
                 state.str());
  return cast(accumulate_sum(value), value.dtype());
}

}  // namespace weft
