#include <weft/inspect/equivalence/bounds.h>

#include <weft/inspect/divergence/compare.h>
#include <weft/inspect/equivalence/claims.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace weft {
namespace {

using namespace bounds;

double distance(double a, double b) {
  if (std::isfinite(a) && std::isfinite(b)) return std::abs(a - b);
  return std::isfinite(a) == std::isfinite(b) ? 0 : std::numeric_limits<double>::infinity();
}

// e: what rounding did to `a`, of which `b` is the value in the other types; 0 where that says nothing.
double rounding_error(const Tensor& a, const Tensor* b) {
  const double error = b == nullptr || b->size() != a.size() ? 0 : max_abs_difference(a, *b);
  return std::isfinite(error) ? error : 0;
}

bool is_cell(const Quantity& quantity) { return quantity.start != nullptr; }

double bound_in_twin(const Quantity& quantity, const ComparedIn& in) {
  const double size = std::max(max_abs(*quantity.before), least_size * quantity.floor);
  const double steps = static_cast<double>(in.run + 1), more = is_cell(quantity) ? spread_of_cells : 1;
  if (quantity.other == nullptr) return steps * unmeasured_in_twin * size;
  return more * steps *
         std::max(least_in_twin * size,
                  spread_in_twin * rounding_error(*quantity.before, quantity.other) * unit_roundoff(f64) / in.own_unit);
}

double bound_in_own(const Quantity& quantity, const ComparedIn& in) {
  const Tensor& exact = quantity.other != nullptr ? *quantity.other : *quantity.before;
  const double stored = spread * unit_roundoff(quantity.before->dtype()) * max_abs(exact);
  const double error = quantity.other != nullptr ? rounding_error(*quantity.before, quantity.other)
                                                 : rounding_of_sums * in.own_unit * max_abs(exact);
  const bool rounds = in.coarse_unit > in.own_unit;
  if (!is_cell(quantity)) {
    const double size = std::max(max_abs(exact), (rounds ? least_size : least_size_of_gradients) * quantity.floor);
    return (rounds ? spread_where_rounded * static_cast<double>(in.run + 1) : spread) *
               (error * in.coarse_unit / in.own_unit + in.coarse_unit * size) +
           stored;
  }
  // A cell keeps its own type; what was rounded before is its change, and where a coarse type decides the sign of an
  // update, all of it.
  const Tensor& start = quantity.other_start != nullptr ? *quantity.other_start : *quantity.start;
  const double change = std::max(max_abs_difference(exact, start), least_size * quantity.floor);
  const double bound =
      spread * spread_of_cells * (error * in.coarse_unit / in.own_unit + in.coarse_unit * change) + stored;
  return rounds ? std::max(bound, other_sign * change + stored) : bound;
}

}  // namespace

double bound_of(const Quantity& quantity, const ComparedIn& in) {
  return in.twin ? bound_in_twin(quantity, in) : bound_in_own(quantity, in);
}

double error_of(const Quantity& quantity, const Tensor& wanted, double bound) {
  const Tensor &y = *quantity.after, *g = quantity.gradient_before, *h = quantity.gradient_after;
  if (g == nullptr || h == nullptr || g->size() != y.size() || h->size() != y.size())
    return max_abs_difference(wanted, y);
  const double swing = std::max(bound, other_sign * max_abs_difference(*quantity.before, *quantity.start));
  double most = 0;
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const double error = distance(wanted.at(i), y.at(i));
    const bool noise =
        g->at(i) != h->at(i) && std::abs(g->at(i)) < quantity.noise && std::abs(h->at(i)) < quantity.noise;
    if (!noise || error > swing) most = std::max(most, error);
  }
  return most;
}

double max_abs(const std::map<std::string, Tensor>& tensors) {
  double most = 0;
  for (const auto& [name, tensor] : tensors) most = std::max(most, max_abs(tensor));
  return most;
}

double coarsest_unit(const Step& step) {
  double unit = 0;
  for (const NodeId id : step.graph.ids())
    for (const TensorType& type : step.graph.node(id).types)
      if (is_float(type.dtype)) unit = std::max(unit, unit_roundoff(type.dtype));
  return unit;
}

}  // namespace weft
