// What the plain and the gated feed-forward op share: their checks, how rows are cut into blocks and run, costs, and
// where the batch lies. Each op adds its activation, plain or gated. Not in <weft/weft.h>.
#pragma once

#include <weft/ops/kit/rules.h>
#include <weft/ops/pointwise/activation_table.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/product/product.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/runtime/allocate.h>
#include <weft/runtime/wide.h>

#include <algorithm>
#include <initializer_list>

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

/// Where the operands of the forward op lie; -1: it has none of them.
struct Operands {
  int weight1, gate, weight2, bias1, gate_bias, bias2;
  bool gated() const { return gate >= 0; }
};

/// The types of {y, hidden}, or of {y, hidden, gated}.
inline std::vector<TensorType> checked_forward(const OpView& view, const Operands& in) {
  expect_float(view, 0);
  expect_same_dtype(view);
  expect_rank(view, in.weight1, 2, "weight1");
  expect_rank(view, in.weight2, 2, "weight2");
  activation_of(view.attributes);
  const Shape &x = view.shape(0), &w1 = view.shape(in.weight1), &w2 = view.shape(in.weight2);
  WEFT_CHECK(x.rank() >= 1 && x[-1] == w1[1], "x must be [.., in] for weight1 [hidden, in]: got {} and {}", x.str(),
             w1.str());
  if (in.gated()) expect_shape(view, in.gate, w1, "the gate's weight");
  WEFT_CHECK(w2[1] == w1[0], "weight2 must be [out, hidden] for weight1 [hidden, in]: got {} and {}", w2.str(),
             w1.str());
  if (view.has(in.bias1)) expect_shape(view, in.bias1, {w1[0]}, "bias1");
  if (in.gated() && view.has(in.gate_bias)) expect_shape(view, in.gate_bias, {w1[0]}, "gate_bias");
  if (view.has(in.bias2)) expect_shape(view, in.bias2, {w2[0]}, "bias2");
  const DType dtype = view.type(0).dtype;
  std::vector<TensorType> types(in.gated() ? 3 : 2, {dtype, with_last(x, w1[0])});
  types[0] = {dtype, with_last(x, w2[0])};
  return types;
}

/// x [.., in] times weight1 [hidden, in], and the activated rows times weight2 [out, hidden]. They are held in blocks
/// of about 8 MiB of f32; this is the block from row `at`.
struct Products {
  std::int64_t rows, block;
  Gemm up, down;
  Products(const OpView& view, const Operands& in, std::int64_t at = 0) {
    const Shape &w1 = view.shape(in.weight1), &w2 = view.shape(in.weight2);
    const std::int64_t hidden = w1.extent(0);
    rows = rows_of(view.shape(0));
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

inline std::size_t forward_workspace(const OpView& view, const Operands& in, int threads) {
  const DType dtype = view.type(0).dtype;
  const Products first(view, in);
  const std::int64_t last = first.rows / std::max<std::int64_t>(1, first.block) * first.block;
  std::size_t most = 0;
  for (std::int64_t at : {std::int64_t{0}, last}) {
    const Products p(view, in, at);
    most = std::max({most, gemm_workspace(p.up, dtype, dtype, threads), gemm_workspace(p.down, dtype, dtype, threads)});
  }
  return first.activated_bytes(dtype) + most;
}

/// Block by block: the gate's product if there is one, then hidden's, of which each finished part of a row is activated
/// at once by activate(hidden, gated, activated, n); then the product with weight2.
template <class T, class F>
void run_forward(KernelContext& context, const Operands& in, const F& activate) {
  T* activated = reinterpret_cast<T*>(context.workspace());
  const Products whole(context.view(), in);
  const std::size_t space = whole.activated_bytes(context.type(0).dtype);
  for (std::int64_t at = 0; at < whole.rows; at += whole.block) {
    const Products p(context.view(), in, at);
    const std::int64_t width = p.up.n;
    const T* x = context.in<T>(0) + at * p.up.k;
    T* hidden = context.out<T>(1) + at * width;
    T* gated = nullptr;
    if (in.gated()) {
      gated = context.out<T>(2) + at * width;
      gemm_bias(p.up, x, context.in<T>(in.gate), context.in<T>(in.gate_bias), gated, gemm_space(p.up, context, space));
    }
    gemm_bias(p.up, x, context.in<T>(in.weight1), context.in<T>(in.bias1), hidden, gemm_space(p.up, context, space),
              [&](const GemmTile& tile) {
                for (std::int64_t row = tile.row; row < tile.row + tile.rows; ++row) {
                  const std::int64_t i = row * width + tile.column;
                  activate(hidden + i, gated == nullptr ? nullptr : gated + i, activated + i, tile.columns);
                }
              });
    if (y_unread(context.attributes())) continue;
    gemm_bias(p.down, activated, context.in<T>(in.weight2), context.in<T>(in.bias2), context.out<T>(0) + at * p.down.n,
              gemm_space(p.down, context, space));
  }
}

inline double moved_bytes(const OpView& view) {
  double bytes = 0;
  for (int i = 0; i < view.inputs(); ++i)
    if (view.has(i)) bytes += static_cast<double>(view.type(i).bytes());
  for (const TensorType& type : view.out) bytes += static_cast<double>(type.bytes());
  return bytes;
}
inline Cost forward_cost(const OpView& view, const Operands& in) {
  const Products p(view, in);
  const std::int64_t ups = in.gated() ? 2 : 1, down = y_unread(view.attributes) ? 0 : p.down.n;
  return {2.0 * static_cast<double>(p.rows) * static_cast<double>(p.up.n * (ups * p.up.k + down)), moved_bytes(view)};
}

/// Operand i of a plain definition in the type of the computation; absent stays absent.
inline Value widened_operand(const Plain& p, int i) {
  const Value x = operand(p.in, static_cast<std::size_t>(i));
  return x.absent() ? x : cast(x, wide(p.in[0].dtype()));
}

/// The gradient of a weight [n, m], of which d = rows weight^T is the cotangent; and that of its bias.
inline void weight_gradient(Backward& b, int weight, const Value& d, const Value& rows) {
  if (b.wants(weight) && d.valid()) b.input(weight, matmul(flat_rows(d), flat_rows(rows), {.transpose_a = true}));
}
inline void bias_gradient(Backward& b, int bias, const Value& d) {
  if (b.wants(bias) && d.valid()) b.input(bias, sum_to(d, b.in(bias).shape()));
}
/// What the backward op gives of a hidden value and what flows into it by itself; either may be absent.
inline void add_cotangent(Backward& b, int output, Value& d) {
  if (b.has_cotangent(output)) d = d.valid() ? d + b.cotangent(output) : b.cotangent(output);
}

/// A backward op's operands d_y [.., out], weight2 [out, hidden], then what the forward op saved.
inline std::vector<TensorType> checked_backward(const OpView& view, std::initializer_list<const char*> saved,
                                                std::size_t outputs) {
  expect_float(view, 0);
  expect_same_dtype(view);
  expect_rank(view, 1, 2, "weight2");
  activation_of(view.attributes);
  const Shape &d_y = view.shape(0), &w2 = view.shape(1);
  WEFT_CHECK(d_y.rank() >= 1 && d_y[-1] == w2[0], "d_y must be [.., out] for weight2 [out, hidden]: got {} and {}",
             d_y.str(), w2.str());
  int i = 2;
  for (const char* name : saved) expect_shape(view, i++, with_last(d_y, w2[1]), name);
  return std::vector<TensorType>(outputs, view.type(2));
}

/// d_y weight2
inline Gemm backward_gemm(const OpView& view) {
  const Shape& w2 = view.shape(1);
  return {.m = rows_of(view.shape(0)), .n = w2.extent(1), .k = w2.extent(0)};
}
inline std::size_t backward_workspace(const OpView& view, int threads) {
  return gemm_workspace(backward_gemm(view), view.type(0).dtype, view.type(0).dtype, threads);
}
inline Cost backward_cost(const OpView& view) {
  const Gemm g = backward_gemm(view);
  return {2.0 * static_cast<double>(g.m) * static_cast<double>(g.n * g.k), moved_bytes(view)};
}
/// Output 0 becomes d_y weight2; of each finished part of a row, from element `at` on, finish(at, n).
template <class T, class F>
void run_backward(KernelContext& context, const F& finish) {
  const Gemm g = backward_gemm(context.view());
  gemm(g, context.in<T>(0), context.in<T>(1), context.out<T>(0), gemm_space(g, context), [&](const GemmTile& tile) {
    for (std::int64_t row = tile.row; row < tile.row + tile.rows; ++row) finish(row * g.n + tile.column, tile.columns);
  });
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
