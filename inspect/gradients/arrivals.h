// What a gradient is a sum of. Private to inspect/ and testing/.
#pragma once

#include <weft/graph/step.h>

namespace weft {

struct Arriving {
  /// of the magnitudes, an f64 scalar of the whole batch in the gradient's own scale; absent: see below
  Value sum;
  double rounding = 0;  ///< the largest unit roundoff of the types in which terms and sums are held
};

/// What a gradient that is a sum of cotangents (a bias's) is the sum of, made of nodes that this adds. Walks back
/// through sums, scalar factors, casts, clamps, views and sums over micro-batches; of a sum over runs only what this
/// run adds. `sum` is absent where the gradient is no sum of a larger value.
Arriving arriving(Step& step, const Value& gradient);

}  // namespace weft
