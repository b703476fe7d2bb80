// What the plain and the gated feed-forward op share: how rows are cut into blocks, and where the batch lies.
// Not in <weft/weft.h>.
#pragma once

#include <weft/ops/kit/rules.h>
#include <weft/ops/pointwise/activation_table.h>
#include <weft/ops/product/product.h>
#include <weft/runtime/allocate.h>
#include <weft/runtime/wide.h>

namespace weft::feed_forward_parts {

inline Shape with_last(const Shape& shape, const Dim& dim) {
  Shape result = shape;
  result[-1] = dim;
  return result;
}

inline std::int64_t rows_of(const Shape& shape) { return extent_product(shape, 0, shape.rank() - 1); }

/// Whether the node runs again for the backward pass, which reads the hidden values alone (autodiff/checkpoint.h): then
/// the second product is left out, and y is not written.
inline bool y_unread(const Attributes& attributes) {
  return (attributes.get_or<std::int64_t>(unread_outputs, 0) & 1) != 0;
}

inline Value operand(const Values& in, std::size_t i) { return i < in.size() ? in[i] : Value{}; }

/// x [.., in] times weights [hidden, in], then [out, hidden]. The activated rows are held in blocks of about 8 MiB of
/// f32; this is the block from row `at`.
struct Products {
  std::int64_t rows, block;
  Gemm up, down;
  Products(const Shape& x, const Shape& w1, const Shape& w2, std::int64_t at = 0) {
    const std::int64_t hidden = w1.extent(0);
    rows = rows_of(x);
    block = std::max<std::int64_t>(128, (std::int64_t{1} << 21) / std::max<std::int64_t>(1, hidden) / 64 * 64);
    block = std::min(block, rows);
    const std::int64_t m = std::min(block, rows - at);
    up = {.trans_b = true, .m = m, .n = hidden, .k = w1.extent(1)};
    down = {.trans_b = true, .m = m, .n = w2.extent(0), .k = hidden};
  }

  /// Bytes of a block's activated rows.
  std::size_t activated_bytes(DType dtype) const {
    return aligned(static_cast<std::size_t>(block * up.n) * size_of(dtype));
  }
};
inline std::size_t workspace_of(const Shape& x, const Shape& w1, const Shape& w2, DType dtype, int threads) {
  const Products first(x, w1, w2);
  const std::int64_t last = first.rows / std::max<std::int64_t>(1, first.block) * first.block;
  std::size_t most = 0;
  for (std::int64_t at : {std::int64_t{0}, last}) {
    const Products p(x, w1, w2, at);
    most = std::max({most, gemm_workspace(p.up, dtype, dtype, threads), gemm_workspace(p.down, dtype, dtype, threads)});
  }
  return first.activated_bytes(dtype) + most;
}

/// The batch of every output, which all have x's rows: it is kept where only operand x of the op depends on it.
inline std::vector<BatchState> rows_of_x(const OpView& view, std::span<const BatchState> in, int x) {
  const int only = only_batched(in);
  const std::size_t outputs = view.op.outputs.size();
  if (only == -1) return std::vector<BatchState>(outputs);
  const BatchState& state = in[static_cast<std::size_t>(x)];
  const bool row = state.in_shape() && state.axis < view.shape(x).rank() - 1;
  if (only == x && row) return std::vector<BatchState>(outputs, state);
  return std::vector<BatchState>(outputs, row ? state.as_mixed() : BatchState::mixed());
}

/// The same for a backward op, whose d_y (operand 0) and saved rows (operands from `saved`) share the batch.
inline std::vector<BatchState> rows_of_d_y(const OpView& view, std::span<const BatchState> in, std::size_t saved) {
  bool together = true;
  for (std::size_t i = 1; i < in.size(); ++i)
    together &= i < saved ? in[i].kind == BatchState::Kind::free : in[i] == in[0];
  return rows_of_x(view, together ? in.first(1) : in, 0);
}

}  // namespace weft::feed_forward_parts
