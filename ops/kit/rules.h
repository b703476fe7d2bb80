// Shape rules, batch rules and checks that many ops share.
#pragma once

#include <weft/graph/op_def.h>

#include <string_view>
#include <vector>

namespace weft {

// --- checks: each throws a UserError that says what was expected and what was got ---

void expect_float(const OpView& view, int i);
void expect_dtype(const OpView& view, int i, DType dtype);
/// i32 or i64.
void expect_integer(const OpView& view, int i);
/// Operands that are present have one dtype; the hint names cast().
void expect_same_dtype(const OpView& view);
void expect_rank(const OpView& view, int i, int rank, std::string_view what);
void expect_shape(const OpView& view, int i, const Shape& shape, std::string_view what);

// --- shape rules ---

/// One output of operand 0's type.
std::vector<TensorType> same_as_input(const OpView& view);
/// The same; UserError unless it is floating.
std::vector<TensorType> same_as_float_input(const OpView& view);
/// Operands of one dtype, broadcast together.
std::vector<TensorType> broadcast_operands(const OpView& view);
/// Operands of one dtype, broadcast together, to bool.
std::vector<TensorType> broadcast_to_bool(const OpView& view);
/// One output, of the type that the attributes "shape" and "dtype" give.
std::vector<TensorType> shape_attribute(const OpView& view);

// --- batch rules ---

/// Pointwise, with broadcasting: the batch stays at its place counted from the last axis. Sums over the batch stay
/// sums only through ops that say so (linear_same_axis).
std::vector<BatchState> same_axis(const OpView& view, std::span<const BatchState> in);
/// As same_axis, for ops that are linear in their only batch-dependent operand (neg, scale, cast, sum of parts):
/// summed stays summed. Addition: sums add if all operands are summed.
std::vector<BatchState> linear_same_axis(const OpView& view, std::span<const BatchState> in);
/// Rows, the last `axes` axes, are independent of each other: the batch may lie in any axis before them, else the
/// output is mixed. axes = 1: for norms over the last axis.
template <int axes>
std::vector<BatchState> rows_independent(const OpView& view, std::span<const BatchState> in);
/// For creation ops, which have no operands: the batch axis is the one of extent "batch" in the output's shape.
std::vector<BatchState> from_shape(const OpView& view, std::span<const BatchState> in);
/// The index of the only operand that depends on the batch; -1: none does; -2: several do.
int only_batched(std::span<const BatchState> in);
/// As many copies of `state` as the op has outputs.
std::vector<BatchState> every_output(const OpView& view, const BatchState& state);

extern template std::vector<BatchState> rows_independent<1>(const OpView&, std::span<const BatchState>);
extern template std::vector<BatchState> rows_independent<2>(const OpView&, std::span<const BatchState>);

}  // namespace weft
