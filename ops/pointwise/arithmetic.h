// Pointwise arithmetic, comparisons, logic and casts. Operands broadcast as in NumPy and have one dtype; C++ numbers
// take the dtype of the tensor beside them. bf16 and f16 are computed in f32 and rounded.
#pragma once

#include <weft/graph/graph.h>

#include <optional>

namespace weft {

// Integers wrap around at the ends of their range.
Value add(const Arg& a, const Arg& b);       ///< a + b; floats and integers
Value subtract(const Arg& a, const Arg& b);  ///< a - b; floats and integers
Value multiply(const Arg& a, const Arg& b);  ///< a b; floats and integers
Value divide(const Arg& a, const Arg& b);    ///< a / b; floats
Value pow(const Arg& a, const Arg& b);       ///< a^b; floats
/// a / b rounded down, as in Python; floats and integers; its derivative is 0. An integer divided by 0 is a UserError
/// of the run that names the place; a float gives a / b.
Value floor_divide(const Arg& a, const Arg& b);
/// a - b floor(a / b): of b's sign, as in Python and torch; floats and integers. d_b = -d_y floor(a / b). Of integers
/// by 0: as floor_divide; of floats: NaN.
Value remainder(const Arg& a, const Arg& b);
/// The smaller, and the larger, of a and b; NaN if either is NaN. Floats and integers. Equal operands get half the
/// gradient each.
Value minimum(const Arg& a, const Arg& b);
Value maximum(const Arg& a, const Arg& b);
Value negate(const Arg& x);  ///< -x; floats and integers
Value abs(const Arg& x);     ///< |x|; floats and integers; its derivative at 0 is 0
Value sign(const Arg& x);    ///< -1, 0 or 1; NaN of NaN; floats and integers; its derivative is 0

struct ClampOptions {
  std::optional<double> min = std::nullopt, max = std::nullopt;  ///< absent: no bound on that side
};
/// min(max(x, min), max), so max where min > max; NaN stays NaN; floats and integers. The derivative is 1 from min to
/// max, both included, else 0. UserError without any bound, and for bounds that x's integer type cannot hold.
Value clamp(const Arg& x, const ClampOptions& options);

inline Value operator+(const Arg& a, const Arg& b) { return add(a, b); }
inline Value operator-(const Arg& a, const Arg& b) { return subtract(a, b); }
inline Value operator*(const Arg& a, const Arg& b) { return multiply(a, b); }
inline Value operator/(const Arg& a, const Arg& b) { return divide(a, b); }
inline Value operator-(const Arg& x) { return negate(x); }

// Comparisons give bool; with a NaN operand all are false but not_equal, which is true.
Value equal(const Arg& a, const Arg& b);
Value not_equal(const Arg& a, const Arg& b);
Value less(const Arg& a, const Arg& b);
Value less_equal(const Arg& a, const Arg& b);
Value greater(const Arg& a, const Arg& b);
Value greater_equal(const Arg& a, const Arg& b);
Value isfinite(const Arg& x);  ///< neither NaN nor infinite; floats
Value isnan(const Arg& x);     ///< floats

// Logic on bools.
Value logical_and(const Arg& a, const Arg& b);
Value logical_or(const Arg& a, const Arg& b);
Value logical_xor(const Arg& a, const Arg& b);
Value logical_not(const Arg& x);

/// condition ? a : b, for each element; `condition` is bool, all three broadcast. A C++ number takes the dtype of the
/// tensor beside it; two numbers give f32.
Value where(const Arg& condition, const Arg& a, const Arg& b);

/// x as `dtype`; x itself if it is. Floats to integers are cut towards zero, out of range gives the nearest integer,
/// NaN gives 0; a wider integer keeps its low bits; to bool: x != 0; 2-byte floats are rounded to nearest even.
Value cast(const Arg& x, DType dtype);

const OpDef& add_op();
const OpDef& subtract_op();
const OpDef& multiply_op();
const OpDef& divide_op();
const OpDef& pow_op();
const OpDef& floor_divide_op();
const OpDef& remainder_op();
const OpDef& clamp_op();
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
const OpDef& isnan_op();
const OpDef& logical_and_op();
const OpDef& logical_or_op();
const OpDef& logical_xor_op();
const OpDef& logical_not_op();
const OpDef& where_op();
const OpDef& cast_op();
void register_arithmetic();

}  // namespace weft
