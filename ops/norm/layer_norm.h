// Layer normalisation (Ba, Kiros and Hinton 2016, arXiv:1607.06450, section 3).
#pragma once

#include <weft/graph/graph.h>

namespace weft {

struct LayerNormOptions {
  int axes = 1;       ///< how many last axes are normalised together
  double eps = 1e-5;  ///< added to the variance
};

/// y = (x - mean) rstd weight + bias with rstd = 1 / sqrt(variance + eps); mean and the biased variance are over the
/// last `axes` axes. weight and bias have the shape of those axes; both may be absent.
Value layer_norm(const Arg& x, const Arg& weight = Value{}, const Arg& bias = Value{}, LayerNormOptions options = {});

/// All outputs: y, mean and rstd; the statistics are f32 for bf16 and f16 and keep the normalised axes with extent 1.
Values layer_norm_with_statistics(const Arg& x, const Arg& weight = Value{}, const Arg& bias = Value{},
                                  LayerNormOptions options = {});

const OpDef& layer_norm_op();
const OpDef& layer_norm_backward_op();
void register_layer_norm();

}  // namespace weft
