// Makes the kernels of pointwise ops, for every dtype, from a function of spans. Not in <weft/weft.h>.
//
// A unary op gives a struct F with `template <class T> static void run(const T* x, T* y, std::int64_t n)`, a binary
// one `static T apply(T a, T b)`; the templates below add broadcasting, tiles by shape (so the bits do not depend on
// the number of threads) and the 2-byte types, which are computed in f32 and rounded when stored.
#pragma once

#include <weft/runtime/kernel.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/wide.h>

#include <algorithm>
#include <array>
#include <type_traits>

namespace weft {

/// Elements of a tile: the unit of parallel work.
inline constexpr std::int64_t pointwise_tile = 16384;

/// body(begin, count) for fixed pieces of [0, n), in parallel.
template <class F>
void for_tiles(std::int64_t n, F&& body) {
  parallel_for((n + pointwise_tile - 1) / pointwise_tile, [&](std::int64_t tile, int) {
    const std::int64_t begin = tile * pointwise_tile;
    body(begin, std::min(pointwise_tile, n - begin));
  });
}

/// Operands of one node walked together with its output, all dense and broadcast to the output's shape. Neighbouring
/// axes that every operand walks as one are merged; what remains are rows along which each operand has stride 0 or 1.
class BroadcastWalk {
 public:
  static constexpr int max_operands = 3;
  static constexpr int max_axes = 12;
  using Offsets = std::array<std::int64_t, max_operands>;

  BroadcastWalk() = default;
  /// Output 0 and all operands of `view`.
  explicit BroadcastWalk(const OpView& view);
  /// An operand of shape `in` broadcast to `out`.
  BroadcastWalk(const Shape& in, const Shape& out);

  /// Whether operand i has stride 1 along a row, not 0.
  bool steps(int i) const { return steps_[static_cast<std::size_t>(i)]; }

  /// body(offsets, out, n): n elements of a row from element `out` of the output, and where the operands are then.
  template <class F>
  void run(F&& body) const {
    const std::int64_t pieces = (row_ + pointwise_tile - 1) / pointwise_tile;    // of a long row
    const std::int64_t rows = std::max<std::int64_t>(1, pointwise_tile / row_);  // short rows in a tile
    parallel_for(pieces * ((rows_ + rows - 1) / rows), [&](std::int64_t tile, int) {
      const std::int64_t begin = tile % pieces * pointwise_tile;
      const std::int64_t count = std::min(pointwise_tile, row_ - begin);
      const std::int64_t first = tile / pieces * rows;
      const std::int64_t last = std::min(first + rows, rows_);
      Cursor cursor = at_row(first);
      for (std::int64_t row = first; row < last; ++row) {
        Offsets at = cursor.offsets;
        for (std::size_t i = 0; i < max_operands; ++i)
          if (steps_[i]) at[i] += begin;
        body(at, row * row_ + begin, count);
        advance(cursor);
      }
    });
  }

 private:
  struct Cursor {
    Offsets offsets{};
    std::array<std::int64_t, max_axes> index{};
  };
  void build(const std::array<const Shape*, max_operands>& in, const Shape& out);
  Cursor at_row(std::int64_t row) const;
  void advance(Cursor& cursor) const;

  int axes_ = 0;  ///< outside of a row, outermost first
  std::array<std::int64_t, max_axes> extents_{};
  std::array<Offsets, max_axes> strides_{};
  std::array<bool, max_operands> steps_{};
  std::int64_t row_ = 1, rows_ = 1;
};

/// Calls f with an element of the type that `dtype` names.
template <class F>
void visit_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::bf16:
      return f(bfloat16{});
    case DType::f16:
      return f(float16{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::boolean:
      return f(bool{});
  }
}

// --- y = f(x) ---

template <class F, class T>
void unary_span(const T* x, T* y, std::int64_t n) {
  if constexpr (is_narrow<T>) {
    float block[narrow_block];
    for (std::int64_t i = 0; i < n; i += narrow_block) {
      const std::int64_t m = std::min(narrow_block, n - i);
      widen(x + i, block, m);
      F::run(block, block, m);
      narrow(block, y + i, m);
    }
  } else {
    F::run(x, y, n);
  }
}

template <class F, class T>
void unary_kernel(KernelContext& k) {
  const T* x = k.in<T>(0);
  T* y = k.out<T>(0);
  for_tiles(k.out_type(0).count(), [&](std::int64_t begin, std::int64_t n) { unary_span<F>(x + begin, y + begin, n); });
}

template <class F, class... T>
std::vector<Kernel> unary_kernels_of() {
  return {Kernel{.dtype = dtype_of<T>, .run = unary_kernel<F, T>}...};
}
template <class F>
std::vector<Kernel> unary_kernels() {
  return unary_kernels_of<F, float, double, bfloat16, float16>();
}

// --- y = f(a, b), broadcast ---

/// One row, whose operands have stride 1 (`a_steps`, `b_steps`) or 0. F::run(a, b, y, n), if defined, serves rows in
/// which both have stride 1.
template <class F, class T, class U>
void binary_row(const T* a, bool a_steps, const T* b, bool b_steps, U* y, std::int64_t n) {
  if (a_steps && b_steps) {
    if constexpr (requires { F::run(a, b, y, n); }) {
      F::run(a, b, y, n);
    } else {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) y[i] = F::apply(a[i], b[i]);
    }
  } else if (a_steps) {
    const T s = *b;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = F::apply(a[i], s);
  } else if (b_steps) {
    const T s = *a;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = F::apply(s, b[i]);
  } else {
    std::fill(y, y + n, F::apply(*a, *b));
  }
}

template <class F, class T, class U>
void binary_half_row(const T* a, bool a_steps, const T* b, bool b_steps, U* y, std::int64_t n) {
  using Result = std::conditional_t<std::is_same_v<U, bool>, bool, float>;
  float xs[narrow_block], zs[narrow_block];
  Result ys[narrow_block];
  for (std::int64_t i = 0; i < n; i += narrow_block) {
    const std::int64_t m = std::min(narrow_block, n - i);
    widen(a_steps ? a + i : a, xs, a_steps ? m : 1);
    widen(b_steps ? b + i : b, zs, b_steps ? m : 1);
    if constexpr (std::is_same_v<U, bool>) {
      binary_row<F>(xs, a_steps, zs, b_steps, y + i, m);
    } else {
      binary_row<F>(xs, a_steps, zs, b_steps, ys, m);
      narrow(ys, y + i, m);
    }
  }
}

template <class F, class T, class U>
BoundKernel bind_binary(const OpView& view) {
  return [walk = BroadcastWalk(view)](KernelContext& k) {
    const T* a = k.in<T>(0);
    const T* b = k.in<T>(1);
    U* y = k.out<U>(0);
    walk.run([&](const BroadcastWalk::Offsets& at, std::int64_t out, std::int64_t n) {
      if constexpr (is_narrow<T>) binary_half_row<F>(a + at[0], walk.steps(0), b + at[1], walk.steps(1), y + out, n);
      else binary_row<F>(a + at[0], walk.steps(0), b + at[1], walk.steps(1), y + out, n);
    });
  };
}

template <class F, class... T>
std::vector<Kernel> binary_kernels() {
  return {Kernel{.dtype = dtype_of<T>, .bind = bind_binary<F, T, T>}...};
}
template <class F, class... T>
std::vector<Kernel> compare_kernels() {
  return {Kernel{.dtype = dtype_of<T>, .bind = bind_binary<F, T, bool>}...};
}

/// The backward rule of an op whose derivative is 0 or not defined: no gradient flows through it.
inline void no_gradient(Backward&) {}

}  // namespace weft
