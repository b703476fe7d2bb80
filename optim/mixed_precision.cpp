#include <weft/graph/rewrite.h>
#include <weft/graph/taps.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/optim/backward_pass.h>
#include <weft/optim/facts.h>
#include <weft/optim/mixed_precision.h>
#include <weft/optim/precision_plan.h>

#include <algorithm>
#include <map>

namespace weft {
namespace {

// The forward pass in its new types. Each operand has a cast of its own at first: so the gradients of operands that
// read one value are widened and then summed in f32, as by PyTorch, whose autocast casts an activation for each reader.
// Where they are derived, merge_casts() leaves one.
class Rewrite {
 public:
  Rewrite(const Step& step, const std::vector<bool>& stays, PrecisionPlan plan, const std::string& pass)
      : step_(step), plan_(std::move(plan)), rebuild_(step.graph, pass) {
    step.each_value([&](const Value& value, const StepRole& role) {
      if (is_kept(role) && value.valid()) plan_.keep_declared(value.ref());
    });
    for (const NodeId id : step.graph.ids()) {
      const Node& node = step.graph.node(id);
      if (!stays[id]) continue;
      keep(node);
      cast_outputs(node);
    }
  }

  /// Casts that are the same as another: (which, as which).
  std::map<NodeId, NodeId> same_casts() const {
    std::map<NodeId, NodeId> same;
    for (const auto& [key, made] : casts_)
      for (std::size_t i = 1; i < made.size(); ++i) same[made[i].node] = made.front().node;
    return same;
  }

  Step finish() {
    const Graph made = rebuild_.finish();
    Step result = step_;
    result.each_value([&](Value& value, const StepRole& role) {
      if (is_kept(role)) value = declared(value);
    });
    return result.over(made);
  }

 private:
  // The gradients are derived anew.
  static bool is_kept(const StepRole& role) { return role.kind != StepRole::Kind::gradient; }

  // The value in that type: itself or its cast, for its next reader.
  ValueRef as(ValueRef ref, DType dtype) {
    if (plan_.computed(ref) == dtype) return ref;
    const std::vector<ValueRef>& made = casts_[{ref, dtype}];
    WEFT_INVARIANT(!made.empty(), "nothing casts output {} of '{}' to {}", ref.output, step_.graph.node(ref.node).name,
                   name_of(dtype));
    return made[std::min(read_[{ref, dtype}]++, made.size() - 1)];
  }
  Value declared(const Value& value) {
    if (!value.valid()) return value.absent() ? value : Value(rebuild_.to().data(), {});
    return rebuild_.to().value(as(value.ref(), value.dtype()));
  }

  void keep(const Node& node) {
    Node changed = node;
    for (std::size_t i = 0; i < node.operands.size(); ++i)
      if (node.operands[i].node != no_node) changed.operands[i] = as(node.operands[i], plan_.wanted(node, i));
    const bool same = changed.operands == node.operands && std::ranges::none_of(node.operands, [&](ValueRef ref) {
                        return ref.node != no_node && plan_.computed(ref) != step_.graph.type(ref).dtype;
                      });
    same ? rebuild_.keep(node) : rebuild_.keep_as(std::move(changed));
  }

  void cast_outputs(const Node& node) {
    for (std::uint32_t k = 0; k < node.types.size(); ++k)
      for (const auto& [dtype, readers] : plan_.casts_of({node.id, k})) {
        const Scope place = rebuild_.in_place_of(node);
        const Scope leaf = rebuild_.to().scope(node.name.substr(node.name.rfind('/') + 1));
        for (int i = 0; i < std::max(1, step_.gradients.empty() ? 1 : readers); ++i)
          casts_[{{node.id, k}, dtype}].push_back(cast(rebuild_.to().value(node.id, k), dtype).ref());
      }
  }

  const Step& step_;
  PrecisionPlan plan_;
  Rebuild rebuild_;
  std::map<std::pair<ValueRef, DType>, std::vector<ValueRef>> casts_;
  std::map<std::pair<ValueRef, DType>, std::size_t> read_;
};

Step merge_casts(const Step& step, const std::map<NodeId, NodeId>& same, const std::string& pass) {
  if (same.empty()) return step;
  Rebuild rebuild(step.graph, pass);
  for (const NodeId id : step.graph.ids()) {
    const auto found = same.find(id);
    if (found == same.end()) rebuild.keep(step.graph.node(id));
    else rebuild.replace(step.graph.node(id), {rebuild.map({found->second, 0})});
  }
  return step.over(rebuild.finish());
}

}  // namespace

Transform mixed_precision(DType low, MixedPrecisionOptions options, std::source_location where) {
  const UserLine line(where);
  WEFT_CHECK(low == bf16 || low == f16, "mixed_precision needs a type of two bytes, bf16 or f16, got {}", name_of(low));
  const std::string name = fmt::format("mixed_precision({})", name_of(low));
  return {.name = name,
          .claim = Claim::rounding,
          .forbids = {fact::low_precision, fact::scaled, fact::accumulated, fact::unscaled, fact::clipped,
                      fact::optimized, fact::checkpointed, fact::tapped_gradients},
          .promises = {fact::low_precision},
          .apply =
              [low, name, options = std::move(options)](const Step& step) {
                const std::vector<bool> stays = forward_nodes(step, name);
                Rewrite rewrite(step, stays, PrecisionPlan(step.graph, stays, low, options), name);
                Step result = rewrite.finish();
                if (step.gradients.empty()) return result;
                rederive_gradients(result, step.gradients);
                return merge_casts(result, rewrite.same_casts(), name);
              },
          .rounds_to = low};
}

}  // namespace weft
