// Mathematical functions of one floating operand, element by element. The room ops/pointwise/ holds all element-wise
// ops: these, arithmetic and comparisons (arithmetic.h), activations (activation.h), gated linear units (glu.h) and
// dropout (dropout.h).
#pragma once

#include <weft/graph/graph.h>

namespace weft {

Value exp(const Arg& x);
Value expm1(const Arg& x);  ///< e^x - 1, exact near 0
Value log(const Arg& x);    ///< natural
Value log1p(const Arg& x);  ///< log(1 + x), exact near 0
Value sqrt(const Arg& x);
Value rsqrt(const Arg& x);       ///< 1 / sqrt(x)
Value reciprocal(const Arg& x);  ///< 1 / x
Value square(const Arg& x);
Value tanh(const Arg& x);
Value sigmoid(const Arg& x);  ///< 1 / (1 + e^-x)
Value erf(const Arg& x);      ///< 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x
Value sin(const Arg& x);
Value cos(const Arg& x);
Value floor(const Arg& x);  ///< the largest whole number <= x; its derivative is 0
Value ceil(const Arg& x);   ///< the smallest whole number >= x; its derivative is 0
Value round(const Arg& x);  ///< the nearest whole number, of two the even one; its derivative is 0

const OpDef& exp_op();
const OpDef& expm1_op();
const OpDef& log_op();
const OpDef& log1p_op();
const OpDef& sqrt_op();
const OpDef& rsqrt_op();
const OpDef& reciprocal_op();
const OpDef& square_op();
const OpDef& tanh_op();
const OpDef& sigmoid_op();
const OpDef& erf_op();
const OpDef& sin_op();
const OpDef& cos_op();
const OpDef& floor_op();
const OpDef& ceil_op();
const OpDef& round_op();
void register_unary();

}  // namespace weft
