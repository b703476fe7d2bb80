#include <weft/inspect/gradients/arrivals.h>

#include <weft/inspect/equivalence/claims.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/movement.h>
#include <weft/ops/step/micro.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace weft {
namespace {

class Walk {
 public:
  explicit Walk(Graph graph) : graph_(std::move(graph)) {}

  struct Extent {
    std::int64_t most = 0;  ///< elements of a value that is summed
    double rounding = 0;
  };
  Extent extent(ValueRef of) const {
    std::vector<ValueRef> open{of};
    std::set<ValueRef> seen{of};
    Extent extent;
    for (std::size_t i = 0; i < open.size(); ++i) {
      extent.most = std::max(extent.most, count(open[i]));
      extent.rounding = std::max(extent.rounding, unit_roundoff(graph_.type(open[i]).dtype));
      for (const ValueRef& ref : parts_of(open[i]))
        if (seen.insert(ref).second) open.push_back(ref);
    }
    return extent;
  }

  /// f64, in the phase of the value.
  Value magnitude(ValueRef at) {
    Value& made = made_[at];
    return made.valid() ? made : made = make(at);
  }

 private:
  struct Scaled {
    ValueRef value, factor;
    bool divides = false;
  };

  std::int64_t count(ValueRef ref) const { return graph_.type(ref).count(); }

  // x * s, s * x, x / s with a scalar s.
  std::optional<Scaled> scaled_of(const Node& node) const {
    const bool divides = node.op->name == "divide";
    if (node.op->name != "multiply" && !divides) return std::nullopt;
    const ValueRef a = node.operands[0], b = node.operands[1];
    if (graph_.type(b).shape.rank() == 0) return Scaled{a, b, divides};
    if (graph_.type(a).shape.rank() == 0 && !divides) return Scaled{b, a, false};
    return std::nullopt;
  }

  // Values whose sum, over axes, micro-batches or element by element, times a scalar, is this one; none: it is no sum.
  std::vector<ValueRef> parts_of(ValueRef of) const {
    const Node& node = graph_.node(of.node);
    std::vector<ValueRef> parts;
    if (const auto scaled = scaled_of(node)) parts = {scaled->value};
    else if (node.op == &accumulate_onto_op()) parts = {node.operands[1]};
    else if (node.op->name == "add" || node.op->name == "subtract") parts = node.operands;
    else if (const auto ops = {"sum", "cast", "negate", "transpose", "accumulate_sum", "clamp"};
             node.op->traits.view || std::ranges::find(ops, node.op->name) != ops.end())
      parts = {node.operands[0]};
    const bool adds = parts.size() > 1;
    for (const ValueRef& ref : parts)
      if (!is_float(graph_.type(ref).dtype) || graph_.node(ref.node).op->traits.source ||
          (adds && count(ref) != count(of)))
        return {};
    return parts;
  }

  Value make(ValueRef at) {
    const Node node = graph_.node(at.node);
    const std::vector<ValueRef> parts = parts_of(at);
    Values sizes;
    for (const ValueRef& ref : parts) sizes.push_back(magnitude(ref));
    const auto phase = graph_.phase(node.phase);
    if (parts.empty()) {
      const Value value = graph_.value(at),
                  size = abs(size_of(value.dtype()) < size_of(f32) ? cast(value, f32) : value);
      return value.rank() == 0 ? cast(size, f64) : sum(cast(sum(size, {.axes = {-1}}), f64));
    }
    Value total = sizes.front();
    if (node.op->traits.gathers && total.node().phase == Phase::micro) return accumulate_sum(total);
    if (sizes.size() > 1) return total + sizes[1];
    const auto scaled = scaled_of(node);
    if (!scaled) return total;
    const Value factor = abs(cast(graph_.value(scaled->factor), f64));
    return scaled->divides ? total / factor : total * factor;
  }

  Graph graph_;
  std::map<ValueRef, Value> made_;
};

}  // namespace

Arriving arriving(Step& step, const Value& gradient) {
  Walk walk(step.graph);
  const Walk::Extent extent = walk.extent(gradient.ref());
  if (extent.most <= gradient.shape().count()) return {};
  return {walk.magnitude(gradient.ref()), extent.rounding};
}

}  // namespace weft
