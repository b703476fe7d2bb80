// Builds references of basic ops (OpDef::reference): an op's formula on plain numbers, element by element, with which
// tests compare its kernels. Not in <weft/weft.h>.
#pragma once

#include <weft/graph/op_def.h>

#include <optional>
#include <span>
#include <vector>

namespace weft {

using Indices = std::vector<std::int64_t>;  ///< an index for each axis
using Extended = long double;               ///< for sums of doubles with negligible rounding errors

/// f(i, at) for each element of a tensor of `shape`: the i-th in row-major order, with the index `at[axis]`.
template <class F>
void each_element(const Shape& shape, const F& f) {
  Indices at(static_cast<std::size_t>(shape.rank()), 0);
  for (std::int64_t i = 0; i < shape.count(); ++i) {
    f(i, at);
    for (int axis = shape.rank(); axis-- > 0;) {
      std::int64_t& index = at[static_cast<std::size_t>(axis)];
      if (++index < shape.extent(axis)) break;
      index = 0;
    }
  }
}

/// Where the element at `at` lies in a tensor of `shape` that is broadcast as NumPy does: aligned at the last axis,
/// axes of extent 1 repeated.
std::int64_t offset_of(const Indices& at, const Shape& shape);

/// y = f(operands), element by element; the operands broadcast to y.
ReferenceRule law_of(double (*f)(double));
ReferenceRule law_of(double (*f)(double, double));
ReferenceRule law_of(double (*f)(double, double, double));

/// Element `at` of an operand.
struct From {
  std::size_t operand = 0;
  Indices at;
};
using Operands = std::span<const std::vector<double>>;
/// y[at] is the element that `from` names; 0 where it names none.
ReferenceRule moved(std::function<std::optional<From>(const OpView&, Operands, Indices)> from);
/// y has x's elements in x's order.
std::vector<double> unmoved(const OpView& view, Operands in);
/// y[to(at)] += x[at] from y = 0, over all elements of operand 0, x; where `to` gives nothing, x[at] is left
/// out.
ReferenceRule gathered_sums(std::function<std::optional<Indices>(const OpView&, Operands, Indices)> to);
/// The element of `x` at `at`.
double element(const std::vector<double>& x, const Shape& shape, const Indices& at);

/// y = finish(combine(.. combine(combine(start, x_0), x_1) .., x_{n - 1}), n) over attribute "axes" (none: all).
struct Fold {
  Extended start = 0;
  Extended (*combine)(Extended, Extended) = nullptr;
  Extended (*finish)(Extended total, Extended n) = nullptr;  ///< null: the total
};
ReferenceRule folded(Fold fold);

}  // namespace weft
