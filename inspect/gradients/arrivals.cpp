#include <weft/inspect/gradients/arrivals.h>

#include <weft/graph/sources.h>
#include <weft/inspect/equivalence/claims.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/step/micro.h>

#include <algorithm>
#include <map>
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
      for (const Part& part : parts_of(open[i]))
        if (seen.insert(part.value).second) open.push_back(part.value);
    }
    return extent;
  }

  /// f64, in the phase of the value.
  Value magnitude(ValueRef at) {
    Value& made = made_[at];
    return made.valid() ? made : made = make(at);
  }

 private:
  // One of the values that a value is the sum of, and whether its node multiplies it by scalars.
  struct Part {
    ValueRef value;
    bool scaled = false;
  };

  std::int64_t count(ValueRef ref) const { return graph_.type(ref).count(); }

  // Values whose elements are added up to this one's, over axes, micro-batches or element by element, as the op says
  // (Term::adds); none: it is no sum. What a state brings comes from runs before.
  std::vector<Part> parts_of(ValueRef of) const {
    const Node& node = graph_.node(of.node);
    if (node.op->traits.source) return {};
    std::vector<Part> parts;
    std::size_t terms = 0;
    for (const Term& term : terms_of(graph_.view(node)->view)) {
      if (term.output != static_cast<int>(of.output)) continue;
      if (term.factors.size() == 1 && graph_.node(operand(node, term.factors[0]).node).op == &state_op()) continue;
      ++terms;
      if (term.adds < 0) return {};
      const Part part{operand(node, term.adds), has_scalars(node, term)};
      if (!is_float(graph_.type(part.value).dtype) || graph_.node(part.value.node).op->traits.source) return {};
      // Its own op then gives the magnitude too: over scalars, and of one term.
      if (part.scaled && !node.op->traits.pointwise) return {};
      parts.push_back(part);
    }
    return terms > 1 && std::ranges::any_of(parts, &Part::scaled) ? std::vector<Part>{} : parts;
  }
  static ValueRef operand(const Node& node, int i) { return node.operands[static_cast<std::size_t>(i)]; }
  bool has_scalars(const Node& node, const Term& term) const {
    const auto is_scalar = [&](int i) { return i != term.adds && is_float(graph_.type(operand(node, i)).dtype); };
    return std::ranges::any_of(term.factors, is_scalar) || std::ranges::any_of(term.inner, [&](const auto& product) {
             return std::ranges::any_of(product, is_scalar);
           });
  }

  Value make(ValueRef at) {
    const Node node = graph_.node(at.node);
    const std::vector<Part> parts = parts_of(at);
    Values sizes;
    for (const Part& part : parts) sizes.push_back(magnitude(part.value));
    const auto phase = graph_.phase(node.phase);
    if (parts.empty()) {
      const Value value = graph_.value(at),
                  size = abs(size_of(value.dtype()) < size_of(f32) ? cast(value, f32) : value);
      return value.rank() == 0 ? cast(size, f64) : sum(cast(sum(size, {.axes = {-1}}), f64));
    }
    Value total = sizes.front();
    if (node.op->traits.gathers && total.node().phase == Phase::micro) return accumulate_sum(total);
    for (std::size_t i = 1; i < sizes.size(); ++i) total = total + sizes[i];
    return parts.front().scaled ? scaled(node, parts.front().value, total) : total;
  }
  // The node's op over the magnitude and its scalars.
  Value scaled(const Node& node, ValueRef part, const Value& total) {
    Values operands;
    bool taken = false;
    for (const ValueRef& ref : node.operands) {
      const bool here = ref == part && !taken;
      taken |= here;
      if (ref.node == no_node) operands.emplace_back();
      else operands.push_back(here ? total : cast(graph_.value(ref), f64));
    }
    return abs(graph_.apply(*node.op, operands, node.attributes).front());
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
