// Activations made of exponentials, besides gelu and silu.
#include <weft/ops/pointwise/activation.h>

#include <weft/ops/kit/build.h>
#include <weft/ops/pointwise/activation_curves.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>

namespace weft {
namespace {

// log(1 + e^x), whose exponential never overflows.
Value log_one_plus_exp(const Value& x) { return maximum(x, 0.0) + log1p(exp(-abs(x))); }

// positive x where x > 0, else negative (e^(rate x) - 1), and its slope; rate x is cut at 0 so that the side that is
// not taken stays finite.
Value exponential(const Value& x, const CurveParameters& p) {
  return where(greater(x, 0.0), x * p[0], expm1(minimum(x, 0.0) * p[2]) * p[1]);
}
Value exponential_grad(const Value& x, const Value& d_y, const CurveParameters& p) {
  return d_y * where(greater(x, 0.0), p[0], exp(minimum(x, 0.0) * p[2]) * (p[1] * p[2]));
}
const Intervals away_from_0{{0.1, 3}, {-5, -0.1}};

}  // namespace

// --- mish: y = x g, g = tanh(log(1 + e^x)); d_x = d_y (g + x (1 - g^2) sigmoid(x)) ---

const OpDef& mish_op() {
  static const OpDef op = activation(
      {.name = "mish", .law = "y = x tanh(log(1 + e^x))"}, mish_grad_op,
      [](const Plain& p) -> Values { return p.in[0] * tanh(log_one_plus_exp(p.in[0])); },
      activation_kernels<curves::Mish>());
  return op;
}

const OpDef& mish_grad_op() {
  static const OpDef op = activation_grad(
      {.name = "mish_grad", .law = "d_x = d_y (g + x (1 - g^2) sigmoid(x)), g = tanh(log(1 + e^x))"},
      [](const Plain& p) -> Values {
        const Value g = tanh(log_one_plus_exp(p.in[0]));
        return p.in[1] * (g + p.in[0] * (1.0 - g * g) * sigmoid(p.in[0]));
      },
      activation_grad_kernels<curves::Mish>());
  return op;
}

// --- logsigmoid: y = -log(1 + e^-x); d_x = d_y sigmoid(-x) ---

const OpDef& logsigmoid_op() {
  static const OpDef op = activation(
      {.name = "logsigmoid", .law = "y = -log(1 + e^-x)"}, logsigmoid_grad_op,
      [](const Plain& p) -> Values { return -log_one_plus_exp(-p.in[0]); }, activation_kernels<curves::LogSigmoid>());
  return op;
}

const OpDef& logsigmoid_grad_op() {
  static const OpDef op = activation_grad(
      {.name = "logsigmoid_grad", .law = "d_x = d_y / (1 + e^x)"},
      [](const Plain& p) -> Values { return p.in[1] * sigmoid(-p.in[0]); },
      activation_grad_kernels<curves::LogSigmoid>());
  return op;
}

// --- softplus: y = log(1 + e^(b x)) / b, x where b x > t; d_x = d_y sigmoid(b x), d_y where b x > t ---

namespace {
void check_beta(const Attributes& attributes) {
  WEFT_CHECK(attributes.number("beta") > 0, "beta must be above 0, got {}", attributes.number("beta"));
}
Attributes bend(double beta, double threshold) { return {{"beta", beta}, {"threshold", threshold}}; }
const std::vector<BadSample> bad_beta{{{}, bend(0, 20), "beta must be above 0"}};
}  // namespace

const OpDef& softplus_op() {
  static const OpDef op = activation(
      {.name = "softplus",
       .law = "y = log(1 + e^(beta x)) / beta, x where beta x > threshold",
       .attributes = bend(1.5, 20),
       .smooth = {{-3, 3}, {14, 20}},
       .bad_samples = bad_beta,
       .check = check_beta},
      softplus_grad_op,
      [](const Plain& p) -> Values {
        const double beta = p.attributes.number("beta");
        const Value z = p.in[0] * beta;
        return where(greater(z, p.attributes.number("threshold")), p.in[0], log_one_plus_exp(z) / beta);
      },
      activation_kernels<curves::Softplus>());
  return op;
}

const OpDef& softplus_grad_op() {
  static const OpDef op = activation_grad(
      {.name = "softplus_grad",
       .law = "d_x = d_y / (1 + e^(-beta x)), d_y where beta x > threshold",
       .attributes = bend(1.5, 20),
       .smooth = {{-3, 3}, {14, 20}},
       .bad_samples = bad_beta,
       .check = check_beta},
      [](const Plain& p) -> Values {
        const Value z = p.in[0] * p.attributes.number("beta");
        return where(greater(z, p.attributes.number("threshold")), p.in[1], p.in[1] * sigmoid(z));
      },
      activation_grad_kernels<curves::Softplus>());
  return op;
}

// --- elu, celu, selu: y = s x where x > 0, else a (e^(r x) - 1); d_x = d_y s where x > 0, else d_y a r e^(r x)
//     elu: s, a, r = 1, alpha, 1; celu: 1, alpha, 1 / alpha; selu: its scale, scale alpha, 1 ---

namespace {
void check_alpha(const Attributes& attributes) {
  WEFT_CHECK(attributes.number("alpha") > 0, "alpha must be above 0, got {}", attributes.number("alpha"));
}

template <class F>
OpDef exponential_op(std::string name, std::string law, Attributes attributes, const OpDef& (*grad)(),
                     void (*check)(const Attributes&) = nullptr) {
  std::vector<BadSample> bad;
  if (check != nullptr) bad = {{{}, {{"alpha", 0.0}}, "alpha must be above 0"}};
  return activation(
      {.name = std::move(name),
       .law = std::move(law),
       .attributes = std::move(attributes),
       .smooth = away_from_0,
       .bad_samples = bad,
       .check = check},
      grad, [](const Plain& p) -> Values { return exponential(p.in[0], F::parameters(p.attributes)); },
      activation_kernels<F>());
}
template <class F>
OpDef exponential_grad_op(std::string name, std::string law, Attributes attributes,
                          void (*check)(const Attributes&) = nullptr) {
  std::vector<BadSample> bad;
  if (check != nullptr) bad = {{{}, {{"alpha", 0.0}}, "alpha must be above 0"}};
  return activation_grad(
      {.name = std::move(name),
       .law = std::move(law),
       .attributes = std::move(attributes),
       .smooth = away_from_0,
       .bad_samples = bad,
       .check = check},
      [](const Plain& p) -> Values { return exponential_grad(p.in[0], p.in[1], F::parameters(p.attributes)); },
      activation_grad_kernels<F>());
}
Attributes alpha_of(double alpha) { return {{"alpha", alpha}}; }
}  // namespace

const OpDef& elu_op() {
  static const OpDef op =
      exponential_op<curves::Elu>("elu", "y = x where x > 0, else alpha (e^x - 1)", alpha_of(0.7), elu_grad_op);
  return op;
}
const OpDef& elu_grad_op() {
  static const OpDef op =
      exponential_grad_op<curves::Elu>("elu_grad", "d_x = d_y where x > 0, else d_y alpha e^x", alpha_of(0.7));
  return op;
}

const OpDef& celu_op() {
  static const OpDef op = exponential_op<curves::Celu>("celu", "y = x where x > 0, else alpha (e^(x / alpha) - 1)",
                                                       alpha_of(1.6), celu_grad_op, check_alpha);
  return op;
}
const OpDef& celu_grad_op() {
  static const OpDef op = exponential_grad_op<curves::Celu>(
      "celu_grad", "d_x = d_y where x > 0, else d_y e^(x / alpha)", alpha_of(1.6), check_alpha);
  return op;
}

const OpDef& selu_op() {
  static const OpDef op =
      exponential_op<curves::Selu>("selu", "y = 1.0507 x where x > 0, else 1.0507 1.67326 (e^x - 1)", {}, selu_grad_op);
  return op;
}
const OpDef& selu_grad_op() {
  static const OpDef op =
      exponential_grad_op<curves::Selu>("selu_grad", "d_x = 1.0507 d_y where x > 0, else 1.0507 1.67326 d_y e^x", {});
  return op;
}

Value mish(const Arg& x) { return build(mish_op(), {x}); }
Value logsigmoid(const Arg& x) { return build(logsigmoid_op(), {x}); }
Value softplus(const Arg& x, const SoftplusOptions& options) {
  return build(softplus_op(), {x}, bend(options.beta, options.threshold));
}
Value elu(const Arg& x, double alpha) { return build(elu_op(), {x}, alpha_of(alpha)); }
Value celu(const Arg& x, double alpha) { return build(celu_op(), {x}, alpha_of(alpha)); }
Value selu(const Arg& x) { return build(selu_op(), {x}); }

}  // namespace weft
