// Pointwise arithmetic, comparisons, logic and casts. Operands broadcast as in NumPy and have one dtype; C++ numbers
// take the dtype of the tensor beside them. bf16 and f16 are computed in f32 and rounded.
#pragma once

#include <weft/graph/graph.h>

namespace weft {

Value add(const Arg& a, const Arg& b);       ///< a + b; floats and integers
Value subtract(const Arg& a, const Arg& b);  ///< a - b; floats and integers
Value multiply(const Arg& a, const Arg& b);  ///< a b; floats and integers
Value divide(const Arg& a, const Arg& b);    ///< a / b; floats
Value pow(const Arg& a, const Arg& b);       ///< a^b; floats
/// The smaller and the larger one; NaN if either is. Equal operands share the gradient.
Value minimum(const Arg& a, const Arg& b);
Value maximum(const Arg& a, const Arg& b);
Value negate(const Arg& x);  ///< -x; floats and integers
Value abs(const Arg& x);     ///< |x|; floats and integers
Value sign(const Arg& x);    ///< -1, 0 or 1; NaN of NaN; floats and integers

inline Value operator+(const Arg& a, const Arg& b) { return add(a, b); }
inline Value operator-(const Arg& a, const Arg& b) { return subtract(a, b); }
inline Value operator*(const Arg& a, const Arg& b) { return multiply(a, b); }
inline Value operator/(const Arg& a, const Arg& b) { return divide(a, b); }
inline Value operator-(const Arg& x) { return negate(x); }

// Comparisons give bool; anything but not_equal is false beside NaN.
Value equal(const Arg& a, const Arg& b);
Value not_equal(const Arg& a, const Arg& b);
Value less(const Arg& a, const Arg& b);
Value less_equal(const Arg& a, const Arg& b);
Value greater(const Arg& a, const Arg& b);
Value greater_equal(const Arg& a, const Arg& b);
Value isfinite(const Arg& x);  ///< neither NaN nor infinite; floats

// Of bools.
Value logical_and(const Arg& a, const Arg& b);
Value logical_or(const Arg& a, const Arg& b);
Value logical_not(const Arg& x);

/// condition ? a : b, for each element; `condition` is bool, all three broadcast. A number beside a tensor takes its
/// dtype; two numbers give f32.
Value where(const Arg& condition, const Arg& a, const Arg& b);

/// x as `dtype`; x itself if it is. Floats to integers are cut towards zero, out of range gives the nearest integer,
/// NaN gives 0; to bool: x != 0; 2-byte floats are rounded to nearest even.
Value cast(const Arg& x, DType dtype);

const OpDef& add_op();
const OpDef& subtract_op();
const OpDef& multiply_op();
const OpDef& divide_op();
const OpDef& pow_op();
const OpDef& minimum_op();
const OpDef& maximum_op();
const OpDef& negate_op();
const OpDef& abs_op();
const OpDef& sign_op();
const OpDef& equal_op();
const OpDef& not_equal_op();
const OpDef& less_op();
const OpDef& less_equal_op();
const OpDef& greater_op();
const OpDef& greater_equal_op();
const OpDef& isfinite_op();
const OpDef& logical_and_op();
const OpDef& logical_or_op();
const OpDef& logical_not_op();
const OpDef& where_op();
const OpDef& cast_op();
void register_arithmetic();

}  // namespace weft
