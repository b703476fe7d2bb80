// Reshape, transpose, broadcast, slice and concatenate: ops that move elements and compute nothing, for every dtype;
// all are linear. The room ops/shape/ holds the ops on shapes and on the order of elements: these, arrange.h (pad,
// flip, split, ...) and creation.h (constants).
#pragma once

#include <weft/graph/graph.h>

#include <optional>
#include <vector>

namespace weft {

/// The same elements in row-major order under another shape; no bytes move. Extents that follow the batch are given as
/// Dims or products of Dims (`{batch * time, width}`), so that the step can run at another batch. One may be -1.
/// UserError if the number of elements differs.
Value reshape(const Arg& x, Shape shape);
/// y[i_p0, i_p1, ...] = x[i_0, i_1, ...]: axis k of y is axis permutation[k] of x.
Value transpose(const Arg& x, const std::vector<std::int64_t>& permutation);
/// Axes a and b exchanged (negative: from the end).
Value transpose(const Arg& x, std::int64_t a, std::int64_t b);
/// x repeated along axes of extent 1 and along new leading axes, as NumPy broadcasts.
Value broadcast_to(const Arg& x, Shape shape);

struct SliceOptions {
  std::int64_t axis = 0;
  std::int64_t start = 0;                           ///< negative: from the end
  std::optional<std::int64_t> stop = std::nullopt;  ///< past the last; negative: from the end; none: to the end
  std::int64_t step = 1;                            ///< at least 1
};
/// x[start:stop:step] along one axis.
Value slice(const Arg& x, const SliceOptions& options);
/// Zeros with `extent` elements along `axis`, and x at start, start + step, ...: the transpose (adjoint) of slice.
Value slice_scatter(const Arg& x, std::int64_t axis, std::int64_t start, std::int64_t step, Dim extent);

/// The values joined along an existing axis (torch.cat). UserError if their other extents differ.
Value concatenate(const std::vector<Value>& values, std::int64_t axis,
                  std::source_location where = std::source_location::current());
/// The values, all of one shape, joined along a new axis (torch.stack).
Value stack(const std::vector<Value>& values, std::int64_t axis,
            std::source_location where = std::source_location::current());
/// squeeze removes an axis of extent 1, unsqueeze inserts one.
Value squeeze(const Arg& x, std::int64_t axis);
Value unsqueeze(const Arg& x, std::int64_t axis);

/// x unchanged; no gradient flows back through it (torch.Tensor.detach).
Value stop_gradient(const Arg& x);

const OpDef& reshape_op();
const OpDef& transpose_op();
const OpDef& broadcast_to_op();
const OpDef& slice_op();
const OpDef& slice_scatter_op();
const OpDef& concatenate_op();
const OpDef& stop_gradient_op();
void register_movement();

}  // namespace weft
