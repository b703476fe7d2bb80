// One-hot encoding of ids.
#pragma once

#include <weft/graph/graph.h>

namespace weft {

/// y[.., c] = 1 where ids[..] = c, else 0; of type `dtype`, [ids.., classes]. Ids outside [0, classes) give rows of
/// zeros.
Value one_hot(const Arg& ids, Dim classes, DType dtype = f32);

/// The product of all extents (of the first `axes` axes), as one Dim that keeps their names.
Dim flat_extent(const Shape& shape, int axes);
inline Dim flat_extent(const Shape& shape) { return flat_extent(shape, shape.rank()); }

}  // namespace weft
