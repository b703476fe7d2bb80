// Dropout as a module: the identity outside training, as torch.nn.Dropout.
#pragma once

#include <weft/graph/graph.h>
#include <weft/ops/pointwise/dropout.h>

namespace weft::nn {

struct Dropout {
  double p = 0;  ///< 0 <= p < 1; each call draws new random numbers
  Value operator()(const Arg& x) const { return dropout(x, p); }
};

}  // namespace weft::nn
