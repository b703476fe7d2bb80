// Activation functions and their gradients, each one pass over memory, with the names, defaults and derivatives at
// kinks of torch.nn.functional. bf16 and f16 are computed in f32. NaN gives NaN.
#pragma once

#include <weft/graph/graph.h>

#include <string>

namespace weft {

struct GeluOptions {
  std::string approximate = "none";  ///< "none": exact, by erf; "tanh": torch's approximation
};
struct SoftplusOptions {
  double beta = 1;        ///< above 0
  double threshold = 20;  ///< y = x where beta x is above it
};

// --- smooth at 0 (activation.cpp, activation_smooth.cpp) ---

/// x Phi(x), Phi the distribution function of the standard normal (Hendrycks & Gimpel 2016, eq. 1).
Value gelu(const Arg& x, const GeluOptions& options = {});
Value gelu_tanh(const Arg& x);   ///< x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
Value silu(const Arg& x);        ///< x / (1 + exp(-x)) (Elfwing et al. 2017)
Value mish(const Arg& x);        ///< x tanh(log(1 + exp(x))) (Misra 2019)
Value logsigmoid(const Arg& x);  ///< log(1 / (1 + exp(-x)))
/// log(1 + exp(beta x)) / beta, and x where beta x > threshold. UserError unless beta > 0.
Value softplus(const Arg& x, const SoftplusOptions& options = {});
/// x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2015); its derivative at 0 is alpha.
Value elu(const Arg& x, double alpha = 1);
/// x where x > 0, else alpha (exp(x / alpha) - 1) (Barron 2017). UserError unless alpha > 0.
Value celu(const Arg& x, double alpha = 1);
/// scale elu(x, alpha) with the constants of Klambauer et al. 2017; its derivative at 0 is scale alpha.
Value selu(const Arg& x);

// --- made of lines (activation.cpp, activation_linear.cpp) ---

Value relu(const Arg& x);  ///< max(x, 0); its derivative at 0 is 0
/// x where x > 0, else negative_slope x; its derivative at 0 is negative_slope.
Value leaky_relu(const Arg& x, double negative_slope = 0.01);
/// min(max(x, min), max); its derivative at both bounds is 0 (clamp's is 1). UserError unless min < max.
Value hardtanh(const Arg& x, double min = -1, double max = 1);
Value relu6(const Arg& x);        ///< min(max(x, 0), 6); its derivative at 0 and 6 is 0
Value hardsigmoid(const Arg& x);  ///< relu6(x + 3) / 6; its derivative at -3 and 3 is 0
Value hardswish(const Arg& x);    ///< x relu6(x + 3) / 6 (Howard et al. 2019); its derivative is 0 at -3, 1 at 3

// d_y f'(x); x and d_y of one type.
Value relu_grad(const Arg& x, const Arg& d_y);
Value gelu_grad(const Arg& x, const Arg& d_y);
Value gelu_tanh_grad(const Arg& x, const Arg& d_y);
Value silu_grad(const Arg& x, const Arg& d_y);

const OpDef& relu_op();
const OpDef& gelu_op();
const OpDef& gelu_tanh_op();
const OpDef& silu_op();
const OpDef& mish_op();
const OpDef& logsigmoid_op();
const OpDef& softplus_op();
const OpDef& elu_op();
const OpDef& celu_op();
const OpDef& selu_op();
const OpDef& leaky_relu_op();
const OpDef& hardtanh_op();
const OpDef& relu6_op();
const OpDef& hardsigmoid_op();
const OpDef& hardswish_op();

// (x, d_y) -> d_y f'(x), with the attributes of f.
const OpDef& relu_grad_op();
const OpDef& gelu_grad_op();
const OpDef& gelu_tanh_grad_op();
const OpDef& silu_grad_op();
const OpDef& mish_grad_op();
const OpDef& logsigmoid_grad_op();
const OpDef& softplus_grad_op();
const OpDef& elu_grad_op();
const OpDef& celu_grad_op();
const OpDef& selu_grad_op();
const OpDef& leaky_relu_grad_op();
const OpDef& hardtanh_grad_op();
const OpDef& relu6_grad_op();
const OpDef& hardsigmoid_grad_op();
const OpDef& hardswish_grad_op();
void register_activation();

}  // namespace weft
