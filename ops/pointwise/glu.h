// Gated linear units, y = x f(gate) (Dauphin et al. 2017, arXiv:1612.08083; Shazeer 2020, arXiv:2002.05202).
#pragma once

#include <weft/graph/graph.h>

#include <string>

namespace weft {

/// y = x f(gate), element by element; x and gate of one type, f by name as in feed_forward.h. One pass, and nothing but
/// x and gate is kept for the backward.
Value gated(const Arg& x, const Arg& gate, const std::string& activation = "sigmoid");

// The same of one operand, whose first half along the axis is x and whose second half is the gate, as
// torch.nn.functional.glu. UserError if the extent is odd.
Value glu(const Arg& x, std::int64_t axis = -1);     ///< f = sigmoid
Value reglu(const Arg& x, std::int64_t axis = -1);   ///< f = relu
Value geglu(const Arg& x, std::int64_t axis = -1);   ///< f = gelu, exact
Value swiglu(const Arg& x, std::int64_t axis = -1);  ///< f = silu

const OpDef& gated_op();
/// (x, gate, d_y) -> d_x = d_y f(gate), d_gate = d_y x f'(gate).
const OpDef& gated_backward_op();
void register_glu();

}  // namespace weft
