// Builds references of basic ops (OpDef::reference): an op's formula on plain numbers, element by element, with which
// tests compare its kernels. Not in <weft/weft.h>.
#pragma once

#include <weft/graph/op_def.h>

#include <optional>
#include <span>
#include <vector>

namespace weft {

using Place = std::vector<std::int64_t>;  ///< an index for each axis
using Extended = long double;             ///< for sums of doubles with negligible rounding errors

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

/// Where the element at `place` lies in a tensor of `shape` that is broadcast as NumPy does: aligned at the last axis,
/// axes of extent 1 repeated.
std::int64_t offset_of(const Place& place, const Shape& shape);

/// y = f(operands), element by element; the operands broadcast to y.
ReferenceRule law_of(double (*f)(double));
ReferenceRule law_of(double (*f)(double, double));
ReferenceRule law_of(double (*f)(double, double, double));

/// Element `place` of an operand.
struct From {
  std::size_t operand = 0;
  Place place;
};
using Operands = std::span<const std::vector<double>>;
/// y[place] is the element that `from` names; 0 where it names none.
ReferenceRule moved(std::function<std::optional<From>(const OpView&, Operands, Place)> from);
/// y has x's elements in x's order.
std::vector<double> unmoved(const OpView& view, Operands in);
/// y[to(place)] += x[place] from y = 0, over all places of operand 0, x; where `to` gives nothing, x[place] is left
/// out.
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
