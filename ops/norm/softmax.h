// Softmax, its logarithm, and the logarithm of a sum of exponentials, over one axis; each subtracts the maximum first.
// The room ops/norm/ holds these, layer normalisation (layer_norm.h), and RMS and group normalisation (rms_norm.h).
#pragma once

#include <weft/graph/graph.h>

namespace weft {

/// y_i = exp(x_i) / sum_j exp(x_j) over `axis`. A row of -inf only gives NaN, as in PyTorch.
Value softmax(const Arg& x, int axis = -1);

/// y_i = x_i - log(sum_j exp(x_j)) over `axis`.
Value log_softmax(const Arg& x, int axis = -1);

struct LogSumExpOptions {
  int axis = -1;
  bool keep = false;  ///< keep the axis, with extent 1
};
/// y = log(sum_j exp(x_j)) over `axis`. A row of -inf only gives -inf.
Value logsumexp(const Arg& x, LogSumExpOptions options = {});

const OpDef& softmax_op();
const OpDef& softmax_backward_op();
const OpDef& log_softmax_op();
const OpDef& log_softmax_backward_op();
const OpDef& logsumexp_op();
void register_softmax();

}  // namespace weft
