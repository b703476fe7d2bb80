// How far apart a quantity of two steps may be: the bounds of verify_equivalent
// (inspect/equivalence/verify_equivalent.h) and what each number in them is. Private to inspect/.
#pragma once

#include <weft/graph/dtype.h>
#include <weft/graph/step.h>
#include <weft/runtime/tensor.h>

#include <cstdint>
#include <map>
#include <string>

namespace weft {

namespace bounds {

// Rounding is measured: e is the error of one side in the types in which it computes, against its float64 twin. What is
// compared with it has rounded other numbers, or the same in another order, so its error is of the size of e and not e.

/// Over e: the largest error of another order of the same roundings. Twice for the two sides, four times because one
/// measurement of a few elements may lie that far below the largest of many.
inline constexpr double spread = 8;
/// Over e in the twins: `spread`, and twice for what is rounded in f64 on both sides and measured on one.
inline constexpr double spread_in_twin = 16;
/// Over e, of gradients and published values where a transform rounds to a coarser type: half as much again, since it
/// rounds at every op on the path and once more for each micro-batch. It also grows with the runs: parameters that have
/// moved by it make later gradients others.
inline constexpr double spread_where_rounded = 12;
/// More for cells: an optimizer that divides by the size of a gradient (Adam) makes of its relative error an absolute
/// one, and small gradients are the least exact.
inline constexpr double spread_of_cells = 8;
/// In place of e, over u s, where there is no twin to measure by: a sum of 64 terms rounds by sqrt(64) u.
inline constexpr double rounding_of_sums = 8;
/// e is not below this share of s in f64: 2^13 unit roundoffs of it, for sums of thousands of terms in which e,
/// measured in a coarser type, happens to be 0.
inline constexpr double least_in_twin = 1e-12;
/// Of s in f64 where the steps have no coarser type in which e could be measured: the above, a hundred times for terms
/// that cancel.
inline constexpr double unmeasured_in_twin = 1e-10;
/// A tensor's s is at least this share of the largest of its kind (all gradients; the changes of one kind of cell):
/// what is smaller is a difference of larger numbers, whose rounding it keeps.
inline constexpr double least_size = 1e-2;
/// The same of gradients and published values where nothing rounds to a coarser type: a clipped gradient is as wrong as
/// the whole one was.
inline constexpr double least_size_of_gradients = 1e-1;
/// An update by the sign of a gradient (Lion's, Adam's first) has twice its size between one sign and the other; a
/// tenth of it for the decay that comes with it.
inline constexpr double other_sign = 2.1;
/// Over the unit roundoff of the coarsest type, of the largest value of a node: by less no node is said to be the first
/// that differs. `spread` times `rounding_of_sums`.
inline constexpr double spread_of_nodes = 64;
/// Of a loss scale, which may be kept in f32: 4 unit roundoffs, for the factors of growth and back-off.
inline constexpr double spread_of_scale = 0x1p-22;
/// A cell's old number is less than this share of its new one: the new one owes nothing to it (a first momentum), is
/// the gradient alone, and may be coarse for good. 2^-12 is less than the last digit of f16 and bf16.
inline constexpr double forgotten = 0x1p-12;

}  // namespace bounds

/// A quantity of both steps, and of `before` in the other types (null: there is none).
struct Quantity {
  std::string kind, name;
  const Tensor *before = nullptr, *after = nullptr, *other = nullptr;
  const Tensor *start = nullptr, *other_start = nullptr;  ///< of a cell: before the run, on the side of `before`
  bool exact = false;                                     ///< the bits must be the same
  double floor = 0;                                       ///< the largest of its kind (bounds::least_size)
  /// Of a cell: its parameter's gradients on both sides. Where they differ and are below `noise`, nothing but rounding
  /// is left of them, and an update by their sign has any sign.
  const Tensor *gradient_before = nullptr, *gradient_after = nullptr;
  double noise = 0;
};

/// The types and the run in which quantities are compared.
struct ComparedIn {
  bool twin = false;       ///< the float64 twins
  std::int64_t run = 0;    ///< 0, 1, ...
  double own_unit = 0;     ///< u: unit roundoff of the coarsest type in which `before` computes
  double coarse_unit = 0;  ///< U: of the coarsest type to which a transform rounds; at least u
};

/// In the twins: |a - b| <= (run + 1) max(least_in_twin s, spread_in_twin e 2^-53 / u), for cells spread_of_cells
/// times. In the own types: |a - B| <= spread (e U / u + U s) + spread v s, B the exact value, v of the tensor's type.
double bound_of(const Quantity& quantity, const ComparedIn& in);
/// The largest |difference| of `after` from `wanted`; of elements whose gradient is noise only what goes beyond the
/// bound and beyond the other sign of the largest update.
double error_of(const Quantity& quantity, const Tensor& wanted, double bound);

/// The largest finite |value| of all of them.
double max_abs(const std::map<std::string, Tensor>& tensors);
/// Unit roundoff of the coarsest float in which the step computes.
double coarsest_unit(const Step& step);

}  // namespace weft
