// Activations and their gradients, each one pass over memory. bf16 and f16 are computed in f32.
#pragma once

#include <weft/graph/graph.h>

#include <string>

namespace weft {

struct GeluOptions {
  std::string approximate = "none";  ///< "none": exact, by erf; "tanh": torch's approximation
};

Value relu(const Arg& x);  ///< max(x, 0); its derivative at 0 is 0
/// x Phi(x), Phi the distribution function of the standard normal (Hendrycks & Gimpel 2016, eq. 1).
Value gelu(const Arg& x, const GeluOptions& options = {});
Value gelu_tanh(const Arg& x);  ///< x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
Value silu(const Arg& x);       ///< x / (1 + exp(-x)) (Elfwing et al. 2017)

// d_y f'(x); x and d_y of one type.
Value relu_grad(const Arg& x, const Arg& d_y);
Value gelu_grad(const Arg& x, const Arg& d_y);
Value gelu_tanh_grad(const Arg& x, const Arg& d_y);
Value silu_grad(const Arg& x, const Arg& d_y);

const OpDef& relu_op();
const OpDef& gelu_op();
const OpDef& gelu_tanh_op();
const OpDef& silu_op();
const OpDef& relu_grad_op();
const OpDef& gelu_grad_op();
const OpDef& gelu_tanh_grad_op();
const OpDef& silu_grad_op();
void register_activation();

}  // namespace weft
