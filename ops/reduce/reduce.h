// Reductions over any axes. Sums are fixed trees: the same bits for any number of threads. The room ops/reduce/ holds
// these, variance and products (statistics.h), running sums (scan.h) and the numbers of gradient reports (summary.h).
#pragma once

#include <weft/graph/graph.h>

#include <vector>

namespace weft {

struct ReduceOptions {
  std::vector<std::int64_t> axes = {};  ///< negative: from the end; none: all
  bool keep = false;                    ///< reduced axes stay, with extent 1
};

Value sum(const Arg& x, const ReduceOptions& options = {});   ///< floats and integers; 0 over nothing
Value mean(const Arg& x, const ReduceOptions& options = {});  ///< floats; NaN over nothing
/// The largest (min: the smallest) element; NaN if there is one; UserError over no elements. Equal extreme elements
/// share the gradient equally, as in torch.amax.
Value max(const Arg& x, const ReduceOptions& options = {});
Value min(const Arg& x, const ReduceOptions& options = {});
Value all(const Arg& x, const ReduceOptions& options = {});  ///< of bools; true over nothing
Value any(const Arg& x, const ReduceOptions& options = {});  ///< of bools; false over nothing
/// Position of the largest element along one axis, i64; of equal ones the first; of the first NaN if there is one.
Value argmax(const Arg& x, std::int64_t axis, bool keep = false);
/// Sum of the squares of all elements, an f64 scalar whatever x's dtype: a norm is the square root of such sums. If x
/// is narrower than f64, it is finite exactly if all of x is.
Value sum_squares(const Arg& x);
/// Sum of |x|^p over all elements, an f64 scalar. UserError unless 1 <= p < infinity.
Value sum_powers(const Arg& x, double p);
/// x summed to `shape`, over the axes along which broadcasting `shape` to x's shape repeats: the transpose (adjoint) of
/// broadcast_to.
Value sum_to(const Arg& x, const Shape& shape);

const OpDef& sum_op();
const OpDef& mean_op();
const OpDef& max_op();
const OpDef& min_op();
const OpDef& all_op();
const OpDef& any_op();
const OpDef& argmax_op();
const OpDef& sum_squares_op();
const OpDef& sum_powers_op();
void register_reduce();

}  // namespace weft
