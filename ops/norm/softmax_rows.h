// What softmax, log_softmax and logsumexp share: rules along an axis, rows and columns. Private to those files.
#pragma once

#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/runtime/kernel.h>

#include <cmath>
#include <limits>

namespace weft::along {

inline int axis_of(const OpView& view) { return normalize_axis(view.attributes.integer("axis"), view.shape(0).rank()); }

inline std::vector<TensorType> along_axis(const OpView& view) {
  expect_float(view, 0);
  expect_same_dtype(view);
  axis_of(view);
  if (view.has(1)) expect_shape(view, 1, view.shape(0), "the cotangent");
  return {view.type(0)};
}

inline bool along_rows(const OpView& view) { return axis_of(view) == view.shape(0).rank() - 1; }

// Examples stay apart unless the batch lies in the axis itself.
inline std::vector<BatchState> apart_from_axis(const OpView& view, std::span<const BatchState> in) {
  const BatchState state = same_axis(view, in).front();
  return {state.axis == axis_of(view) ? state.as_mixed() : state};
}

// The operand as [outer, n, inner] with n along the axis.
struct Layout {
  std::int64_t outer, n, inner;
  explicit Layout(const KernelContext& context) : Layout(context.view()) {}
  explicit Layout(const OpView& view) {
    const Shape& shape = view.shape(0);
    const int axis = axis_of(view);
    outer = extent_product(shape, 0, axis);
    n = shape.extent(axis);
    inner = extent_product(shape, axis + 1, shape.rank());
  }
};

// Where the axis is not the last one, columns are walked in blocks.
inline constexpr std::int64_t columns = 256;
template <class F>
void for_column_blocks(const Layout& layout, F&& body) {
  const std::int64_t blocks = (layout.inner + columns - 1) / columns;
  parallel_for(layout.outer * blocks, [&](std::int64_t tile, int) {
    const std::int64_t first = tile % blocks * columns;
    body(tile / blocks, first, std::min(columns, layout.inner - first));
  });
}

// Two rows of f32 a thread for the types that are converted.
template <class T>
std::size_t row_buffers(const OpView& view, int threads) {
  if constexpr (!is_narrow<T>) return 0;
  else return static_cast<std::size_t>(threads) * 2 * static_cast<std::size_t>(Layout(view).n) * sizeof(float);
}
template <class T>
Wide<T>* row_buffer(const KernelContext& context, const Layout& layout, int slot) {
  if constexpr (!is_narrow<T>) return nullptr;
  else return reinterpret_cast<Wide<T>*>(context.workspace()) + slot * 2 * layout.n;
}

// An infinite maximum is not subtracted by logsumexp: log(0) = -inf and exp(inf) = inf are the answers.
template <class W>
W finite_or_zero(W x) {
  return std::isinf(x) ? W(0) : x;
}

// The largest along an axis that stays, for plain definitions; -inf over nothing.
inline Value highest_along(const Value& x, int axis) {
  if (x.shape().extent(axis) > 0) return max(x, {.axes = {axis}, .keep = true});
  Shape kept = x.shape();
  kept[axis] = 1;
  return full(x.graph(), kept, x.dtype(), -std::numeric_limits<double>::infinity());
}

using Run = void (*)(KernelContext&);
inline std::vector<Kernel> row_kernels(Run run_f32, Run run_f64, Run run_bf16, Run run_f16) {
  return {{.dtype = f32, .run = run_f32},
          {.dtype = f64, .run = run_f64},
          {.dtype = bf16, .run = run_bf16, .workspace = row_buffers<bfloat16>},
          {.dtype = f16, .run = run_f16, .workspace = row_buffers<float16>}};
}

inline Attributes at(std::int64_t axis) { return {{"axis", axis}}; }
inline Attributes kept_at(std::int64_t axis) { return {{"axis", axis}, {"keep", true}}; }

// Along the last axis, along others (more columns than a block too), one element, extremes (in a row with others, and
// beside one number each), logits of +-1e4.
inline std::vector<Sample> axis_samples(int operands) {
  std::vector<Sample> samples;
  const auto add = [&](const SampleInput& input, std::int64_t axis, bool gradient) {
    samples.push_back({std::vector<SampleInput>(static_cast<std::size_t>(operands), input), at(axis), gradient});
  };
  add(sample::normal({3, 5}).batched(0), 1, true);
  add(sample::normal({2, 3, 4}).batched(1), 0, true);
  add(sample::normal({2, 3, 4}).batched(0), -2, true);
  add(sample::normal({4, 3}).batched(0), 0, true);
  add(sample::normal({6}), 0, true);
  add(sample::normal({3, 1}), 1, true);
  add(sample::normal({70, 131}).batched(0), 1, false);
  add(sample::normal({3, 2100}).batched(0), 1, false);
  add(sample::normal({2, 9, 300}).batched(2), 1, false);
  add(sample::extremes({5, 40}), 1, false);
  add(sample::extremes({40, 5}), 0, false);
  add(sample::extremes({18, 2}), 1, false);
  add(sample::uniform({6, 5}, -1e4, 1e4), 1, false);
  return samples;
}

inline std::vector<BadSample> bad_axis() {
  return {{{{i64, {3}}}, at(0), "floating type"}, {{{f32, {3, 4}}}, at(2), "axis"}, {{{f32, {}}}, at(-1), "axis"}};
}
inline std::vector<BadSample> bad_cotangent() {
  return {{{{f32, {3}}, {f32, {4}}}, at(0), "cotangent"}, {{{f32, {3}}, {f64, {3}}}, at(0), "one dtype"}};
}

// A block of `count` columns: lines of it, in the type of the computation, and what an op gathers along the axis.
template <class T>
struct ColumnBlock {
  KernelContext& context;
  const Layout& layout;
  std::int64_t offset, count;
  Wide<T> highest[columns], total[columns];

  ColumnBlock(KernelContext& context, const Layout& layout, std::int64_t offset, std::int64_t count)
      : context(context), layout(layout), offset(offset), count(count) {}

  const Wide<T>* line(int operand, std::int64_t i) {
    return widened(context.in<T>(operand) + offset + i * layout.inner, buffers[operand], count);
  }
  // Maximum and sum of exponentials; `finite`: an infinite maximum is not subtracted.
  void gather_exponentials(bool finite = false) {
    using W = Wide<T>;
    const Simd<W>& v = simd<W>();
    std::fill_n(highest, count, -std::numeric_limits<W>::infinity());
    for (std::int64_t i = 0; i < layout.n; ++i) v.maximum(highest, line(0, i), highest, count);
    if (finite) std::transform(highest, highest + count, highest, finite_or_zero<W>);
    std::fill_n(total, count, W(0));
    W e[columns];
    for (std::int64_t i = 0; i < layout.n; ++i) {
      v.subtract(line(0, i), highest, e, count);
      v.exp(e, e, count);
      v.add(total, e, total, count);
    }
  }

 private:
  Wide<T> buffers[2][columns];
};

// An op whose output has the operands' shape. It is written twice, for one operand or two:
//   Op::row(v, x.., y, n)                     a row, whose numbers lie side by side
//   Op::gather(v, block)                      what a block of columns needs of all its lines,
//   Op::line(v, block, x.., y, count)         and then each of these. y of a row, and of a line of one operand, may be
//   where x is.
template <class Op, class T>
void run_along(KernelContext& context) {
  using W = Wide<T>;
  const Simd<W>& v = simd<W>();
  const Layout layout(context);
  constexpr bool one = Op::operands == 1;
  if (layout.inner == 1) {
    const std::int64_t n = layout.n;
    for_row_tiles(layout.outer, n, [&](std::int64_t begin, std::int64_t end, int slot) {
      W* buffer = row_buffer<T>(context, layout, slot);
      for (std::int64_t row = begin; row < end; ++row) {
        T* out = context.out<T>(0) + row * n;
        W* y = wide_target(out, buffer);
        const W* x = widened(context.in<T>(0) + row * n, buffer, n);
        if constexpr (one) Op::row(v, x, y, n);
        else Op::row(v, x, widened(context.in<T>(1) + row * n, buffer + n, n), y, n);
        store(y, out, n);
      }
    });
    return;
  }
  for_column_blocks(layout, [&](std::int64_t outer, std::int64_t first, std::int64_t count) {
    ColumnBlock<T> block(context, layout, outer * layout.n * layout.inner + first, count);
    Op::gather(v, block);
    W buffer[columns];
    for (std::int64_t i = 0; i < layout.n; ++i) {
      T* out = context.out<T>(0) + block.offset + i * layout.inner;
      W* y = wide_target(out, buffer);
      if constexpr (one) Op::line(v, block, block.line(0, i), y, count);
      else Op::line(v, block, block.line(0, i), block.line(1, i), y, count);
      store(y, out, count);
    }
  });
}

template <class Op>
std::vector<Kernel> kernels_along() {
  return row_kernels(run_along<Op, float>, run_along<Op, double>, run_along<Op, bfloat16>, run_along<Op, float16>);
}

}  // namespace weft::along
