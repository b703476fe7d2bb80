// Matrix products: matmul and linear, all computed by runtime/gemm.h. The room ops/product/ holds these, einsum
// (einsum.h) and the feed-forward block of a transformer as one op (feed_forward.h).
#pragma once

#include <weft/graph/graph.h>

namespace weft {

struct MatmulOptions {
  bool transpose_a = false;  ///< a is [.., K, M] instead of [.., M, K]
  bool transpose_b = false;  ///< b is [.., N, K] instead of [.., K, N]
};

/// y = a b: a [.., M, K], b [.., K, N], y [.., M, N]; the leading axes broadcast. As torch.matmul, a 1-D operand is a
/// row (a) or a column (b) and its axis is dropped from y. UserError if the inner extents differ.
Value matmul(const Arg& a, const Arg& b, MatmulOptions options = {});

/// y = x weight^T + bias: x [.., in], weight [out, in] (PyTorch's layout), bias [out] or absent, y [.., out].
Value linear(const Arg& x, const Arg& weight, const Arg& bias = Value{});

/// x [.., n] reshaped to [rows, n]; rows, a product of Dims, keeps the names of the extents.
Value flat_rows(const Arg& x);

const OpDef& matmul_op();
const OpDef& linear_op();
void register_matmul();

}  // namespace weft
