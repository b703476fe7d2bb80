// The feed-forward block of a transformer (Vaswani et al. 2017, arXiv:1706.03762, section 3.3) as one op.
#pragma once

#include <weft/graph/graph.h>

#include <string>

namespace weft {

struct FeedForwardOptions {
  Value bias1 = {};  ///< [hidden]
  Value bias2 = {};  ///< [out]
  std::string activation = "gelu";  ///< relu, gelu (exact), gelu_tanh or silu
};

/// y = f(x weight1^T + bias1) weight2^T + bias2: x [.., in], weight1 [hidden, in], weight2 [out, hidden] (PyTorch's
/// layout), y [.., out]. The activated rows are never all held: only `hidden`, what f is applied to, is kept.
Value feed_forward(const Arg& x, const Arg& weight1, const Arg& weight2, const FeedForwardOptions& options = {});

/// Both outputs: y and hidden [.., hidden].
Values feed_forward_with_hidden(const Arg& x, const Arg& weight1, const Arg& weight2,
                                const FeedForwardOptions& options = {});

const OpDef& feed_forward_op();
/// (d_y, weight2, hidden) -> d_hidden = (d_y weight2) f'(hidden) and activated = f(hidden), in one pass.
const OpDef& feed_forward_backward_op();
void register_feed_forward();

}  // namespace weft
