// Inverted dropout (Srivastava et al., JMLR 15, 2014, section 4): scaled in training, so that evaluation changes
// nothing.
#pragma once

#include <weft/graph/graph.h>

namespace weft {

/// y = x keep / (1 - p), keep ~ Bernoulli(1 - p) from the Philox stream of this call (runtime/random.h): a function of
/// (seed, run, row, column), rows over the leading axes, columns over the last. No mask is stored. 0 <= p < 1; p = 0
/// gives x itself, and so does evaluation().
Value dropout(const Arg& x, double p);

const OpDef& dropout_op();
void register_dropout();

}  // namespace weft
