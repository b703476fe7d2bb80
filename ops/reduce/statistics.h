// Reductions beyond those of ops/reduce/reduce.h: products, variance, standard deviation, logsumexp over several axes,
// argmin.
#pragma once

#include <weft/ops/reduce/reduce.h>

namespace weft {

/// The product over axes; 1 over no elements. The derivative by an element is the product of the others, correct also
/// where elements are zero.
Value prod(const Arg& x, const ReduceOptions& options = {});

/// sum (x - mean)^2 / max(n - correction, 0) over axes, the mean first (torch.var); correction 1: the unbiased
/// estimate. NaN where there are no more elements than that. Of bf16 and f16 it is computed in f32 and rounded once.
Value var(const Arg& x, const ReduceOptions& options = {}, double correction = 1);
/// sqrt(var); its gradient at variance 0 is 0, as in PyTorch.
Value std_dev(const Arg& x, const ReduceOptions& options = {}, double correction = 1);

struct VectorNormOptions {
  double p = 2;                         ///< at least 1; infinity: the largest |x|
  std::vector<std::int64_t> axes = {};  ///< negative: from the end; none: all
  bool keep = false;                    ///< reduced axes stay, with extent 1
};
/// (sum |x|^p)^(1/p) over axes (torch.linalg.vector_norm); its gradient is 0 where the norm is 0. Of bf16 and f16 it is
/// computed in f32 and rounded once.
Value vector_norm(const Arg& x, const VectorNormOptions& options = {});

/// log(sum exp(x)) over axes, computed after subtracting the largest element.
Value logsumexp(const Arg& x, const ReduceOptions& options);

/// Position of the smallest element along one axis, i64; of equal ones the first; of the first NaN if there is one.
Value argmin(const Arg& x, std::int64_t axis, bool keep = false);

/// [.., n] -> [..]: the product of each row.
const OpDef& prod_op();
/// [.., n] -> [.., n]: for each element the product of the others of its row.
const OpDef& prod_others_op();
void register_statistics();

}  // namespace weft
