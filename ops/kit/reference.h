// References of basic ops (OpDef::reference): laws on plain numbers, element by element. Not in <weft/weft.h>.
#pragma once

#include <weft/graph/op_def.h>

#include <optional>
#include <span>
#include <vector>

namespace weft {

using Place = std::vector<std::int64_t>;  ///< an index for each axis
using Extended = long double;             ///< sums of doubles without errors that count

/// f(i, place) for every place of `shape` in row-major order, i counting them.
template <class F>
void each_place(const Shape& shape, const F& f) {
  Place place(static_cast<std::size_t>(shape.rank()), 0);
  for (std::int64_t i = 0; i < shape.count(); ++i) {
    f(i, place);
    for (int axis = shape.rank(); axis-- > 0;) {
      std::int64_t& at = place[static_cast<std::size_t>(axis)];
      if (++at < shape.extent(axis)) break;
      at = 0;
    }
  }
}

/// Where the element at `place` lies in a tensor of `shape` that is broadcast: aligned at the last axis, axes of extent
/// 1 stand still.
std::int64_t offset_of(const Place& place, const Shape& shape);

/// y = f(operands), which broadcast to y.
ReferenceRule law_of(double (*f)(double));
ReferenceRule law_of(double (*f)(double, double));
ReferenceRule law_of(double (*f)(double, double, double));

struct From {
  std::size_t operand = 0;
  Place place;
};
using Operands = std::span<const std::vector<double>>;
/// y[place] is the element that `from` names; 0 where it names none.
ReferenceRule moved(std::function<std::optional<From>(const OpView&, Operands, Place)> from);
/// y has x's elements in x's order.
std::vector<double> unmoved(const OpView& view, Operands in);
/// Adds element `from` of operand 0 at a place of y, for each place of operand 0 that `to` sends somewhere.
ReferenceRule gathered_sums(std::function<std::optional<Place>(const OpView&, Operands, Place)> to);
/// The element of `x` at `place`.
double element(const std::vector<double>& x, const Shape& shape, const Place& place);

/// y = finish(combine(.. combine(combine(start, x_0), x_1) .., x_{n - 1}), n) over attribute "axes" (none: all).
struct Fold {
  Extended start = 0;
  Extended (*combine)(Extended, Extended) = nullptr;
  Extended (*finish)(Extended total, Extended n) = nullptr;  ///< null: the total
};
ReferenceRule folded(Fold fold);

}  // namespace weft
