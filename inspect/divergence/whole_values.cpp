#include <weft/inspect/divergence/whole_values.h>

#include <weft/optim/gather.h>

namespace weft {

WholeValues::WholeValues(const Step& step, std::string pass, bool as_lowered)
    : step_(step.over(step.graph.clone())), pass_(std::move(pass)) {
  step_.lowered = as_lowered && step.lowered && step.micro_batches == 1;
  for (const NodeId id : step_.graph.ids())
    for (const ValueRef ref : step_.graph.node(id).operands) read_.insert(ref);
  for (const Value& root : step_.roots()) read_.insert(root.ref());
  for (const Gradient& gradient : step_.gradients) read_.insert(gradient.value.ref());
  if (step_.micro_batches > 1) states_ = batch_states(step_.graph, step_.micro_batches);
}

Value WholeValues::of(ValueRef ref) {
  const Value value = step_.graph.value(ref);
  const Node& node = value.node();
  if (step_.micro_batches == 1 || node.phase == Phase::step || node.op->traits.source) return value;
  const BatchState& state = states_[ref.node][ref.output];
  using Kind = BatchState::Kind;
  if (state.kind != Kind::split && state.kind != Kind::summed) return {};
  // i32, i64 and floats add up; only those that split may be bool.
  if (state.kind == Kind::summed && value.dtype() == boolean) return {};
  const auto made = step_.graph.made_by(pass_, ref.node);
  return gathered(value, state, step_.micro_batches);
}

}  // namespace weft
