// y = x f(gate) over a span and its gradient, through buffers for types that are converted. For kernels.
// Not in <weft/weft.h>.
#pragma once

#include <weft/ops/pointwise/activation_table.h>

#include <algorithm>

namespace weft {

template <class T>
void glu_row(const Activation& activation, const T* x, const T* gate, T* y, std::int64_t n) {
  using W = Wide<T>;
  constexpr std::int64_t block = 512;
  const auto f = activation.run<W>();
  W xs[block], ys[block];
  for (std::int64_t i = 0; i < n; i += block) {
    const std::int64_t count = std::min(block, n - i);
    f(widened(gate + i, ys, count), ys, count);
    W* out = wide_target(y + i, ys);
    simd<W>().multiply(widened(x + i, xs, count), ys, out, count);
    store(out, y + i, count);
  }
}

/// d_x = d_y f(gate), d_gate = d_y x f'(gate), and y where it is not null. d_x may alias d_y, d_gate may alias gate, y
/// may alias x.
template <class T>
void glu_row_grad(const Activation& activation, const T* x, const T* gate, const T* d_y, T* d_x, T* d_gate, T* y,
                  std::int64_t n) {
  using W = Wide<T>;
  constexpr std::int64_t block = 512;
  const Simd<W>& v = simd<W>();
  W a[block], b[block], xs[block], gates[block], ds[block];
  for (std::int64_t i = 0; i < n; i += block) {
    const std::int64_t count = std::min(block, n - i);
    const W* rows = widened(x + i, xs, count);
    const W* gated = widened(gate + i, gates, count);
    const W* d = widened(d_y + i, ds, count);
    v.multiply(d, rows, b, count);
    activation.run_both(gated, b, a, b, count);
    if (y != nullptr) {
      W* out = wide_target(y + i, xs);
      v.multiply(rows, a, out, count);
      store(out, y + i, count);
    }
    W* out = wide_target(d_x + i, ds);
    v.multiply(d, a, out, count);
    store(out, d_x + i, count);
    if constexpr (is_narrow<T>) store(b, d_gate + i, count);
    else std::copy_n(b, count, d_gate + i);
  }
}

}  // namespace weft
