// The feed-forward block of a transformer (Vaswani et al. 2017, arXiv:1706.03762, section 3.3) as one op.
#pragma once

#include <weft/graph/graph.h>

#include <string>

namespace weft {

struct FeedForwardOptions {
  Value bias1 = {};  ///< [hidden]
  Value bias2 = {};  ///< [out]
  /// By name, with torch's defaults: celu, elu, gelu (exact), gelu_tanh, hardsigmoid, hardswish, hardtanh, leaky_relu,
  /// logsigmoid, mish, relu, relu6, selu, sigmoid, silu, softplus or tanh.
  std::string activation = "gelu";
};

/// y = f(x weight1^T + bias1) weight2^T + bias2: x [.., in], weight1 [hidden, in], weight2 [out, hidden] (PyTorch's
/// layout), y [.., out]. The backward keeps only `hidden`, the pre-activation x weight1^T + bias1; the forward never
/// holds all of f(hidden).
Value feed_forward(const Arg& x, const Arg& weight1, const Arg& weight2, const FeedForwardOptions& options = {});

/// Both outputs: y and hidden [.., hidden].
Values feed_forward_with_hidden(const Arg& x, const Arg& weight1, const Arg& weight2,
                                const FeedForwardOptions& options = {});

struct GatedFeedForwardOptions {
  Value bias1 = {};      ///< [hidden]
  Value gate_bias = {};  ///< [hidden]
  Value bias2 = {};      ///< [out]
  /// of the gate: silu (SwiGLU), gelu (GeGLU), relu (ReGLU), sigmoid (GLU), any other
  std::string activation = "silu";
};

/// y = ((x weight1^T + bias1) f(x gate^T + gate_bias)) weight2^T + bias2 (Shazeer 2020, arXiv:2002.05202, eqs. 5 and
/// 6): x [.., in], weight1 and gate [hidden, in], weight2 [out, hidden], y [.., out]. The backward keeps x weight1^T +
/// bias1 and x gate^T + gate_bias, never their product. In Llama's names: up, gate, down.
Value gated_feed_forward(const Arg& x, const Arg& weight1, const Arg& gate, const Arg& weight2,
                         const GatedFeedForwardOptions& options = {});

const OpDef& feed_forward_op();
/// (d_y, weight2, hidden) -> d_hidden = (d_y weight2) f'(hidden) and activated = f(hidden), in one pass.
const OpDef& feed_forward_backward_op();
const OpDef& gated_feed_forward_op();
/// (d_y, weight2, hidden, gated) -> d_hidden = (d_y weight2) f(gated), d_gated = (d_y weight2) hidden f'(gated) and
/// activated = hidden f(gated), in one pass.
const OpDef& gated_feed_forward_backward_op();
void register_feed_forward();

}  // namespace weft
