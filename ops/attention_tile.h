// What the attention kernels know of their node: extents, pointers, and how a row of products q k^T becomes a row of
// scores. Block sizes and the cut into tasks depend on shapes only, so bits do not depend on the number of threads.
#pragma once

#include <weft/ops/rows.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/random.h>
#include <weft/runtime/simd.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace weft {

/// Operands of `attention`; those of `attention_backward` go on from there.
struct AttentionIn {
  enum : int { q, k, v, bias, mask, lengths, start, count };
  enum : int { y = count, logsumexp, d_y, d_logsumexp };
};

/// Extents and options of a node; no pointers.
struct AttentionShape {
  std::int64_t batch, heads, kv_heads, time_q, time_k, width, value_width;
  double scale, soft_cap, dropout;  ///< soft_cap, dropout: 0 is none
  bool causal;
  std::int64_t window, offset;  ///< window 0: none
  std::uint32_t stream;

  explicit AttentionShape(const OpView& view);

  std::int64_t group() const { return heads / kv_heads; }
  std::int64_t q_rows() const { return std::clamp<std::int64_t>(time_q, 1, time_q <= 256 ? 32 : 64); }
  std::int64_t k_rows() const { return std::clamp<std::int64_t>(time_k, 1, 256); }
  std::int64_t q_blocks() const { return (time_q + q_rows() - 1) / q_rows(); }
  std::int64_t k_blocks() const { return (time_k + k_rows() - 1) / k_rows(); }
};

/// Element strides of a tensor broadcast to [batch, heads, time_q, time_k].
struct ScoreStrides {
  std::int64_t batch = 0, head = 0, query = 0, key = 0;
  ScoreStrides() = default;
  explicit ScoreStrides(const Shape& shape);
};

/// Keys [lo, hi).
struct KeyRange {
  std::int64_t lo, hi;
};

/// Rows of A in memory.
template <class A>
struct Rows {
  A* data;
  std::int64_t stride;
  A* operator[](std::int64_t row) const { return data + row * stride; }
};

/// Rows of T in the type they are computed in: the rows themselves, or a converted copy in `buffer`.
template <class T>
Rows<const Wide<T>> wide_rows(const T* x, std::int64_t stride, std::int64_t rows, std::int64_t width,
                              Wide<T>* buffer) {
  if constexpr (!is_narrow<T>) {
    return {x, stride};
  } else {
    for (std::int64_t r = 0; r < rows; ++r) widened(x + r * stride, buffer + r * width, width);
    return {buffer, width};
  }
}

/// The node's operands and the law of its scores.
template <class T>
struct AttentionScores : AttentionShape {
  using A = Wide<T>;
  static constexpr A infinity = std::numeric_limits<A>::infinity();

  const T *q, *k, *v, *bias;
  const bool* mask;
  ScoreStrides bias_strides, mask_strides;
  const Simd<A>& simd = weft::simd<A>();
  RandomKey key;

  explicit AttentionScores(KernelContext& context)
      : AttentionShape(context.view()),
        q(context.in<T>(AttentionIn::q)),
        k(context.in<T>(AttentionIn::k)),
        v(context.in<T>(AttentionIn::v)),
        bias(context.in<T>(AttentionIn::bias)),
        mask(context.in<bool>(AttentionIn::mask)),
        key(random_key(context.random().seed, stream)),
        context_(context) {
    if (bias != nullptr) bias_strides = ScoreStrides(context.type(AttentionIn::bias).shape);
    if (mask != nullptr) mask_strides = ScoreStrides(context.type(AttentionIn::mask).shape);
  }

  std::int64_t q_stride() const { return heads * width; }
  std::int64_t k_stride() const { return kv_heads * width; }
  std::int64_t v_stride() const { return kv_heads * value_width; }
  std::int64_t y_stride() const { return heads * value_width; }
  const T* q_row(std::int64_t b, std::int64_t h, std::int64_t i) const {
    return q + ((b * time_q + i) * heads + h) * width;
  }
  const T* k_row(std::int64_t b, std::int64_t kv, std::int64_t j) const {
    return k + ((b * time_k + j) * kv_heads + kv) * width;
  }
  const T* v_row(std::int64_t b, std::int64_t kv, std::int64_t j) const {
    return v + ((b * time_k + j) * kv_heads + kv) * value_width;
  }
  std::int64_t row_index(std::int64_t b, std::int64_t h, std::int64_t i) const {
    return (b * heads + h) * time_q + i;
  }

  /// The keys that query i of example b may see, before the mask; both ends grow with i.
  KeyRange keys(std::int64_t b, std::int64_t i) const {
    const std::int64_t position = i + (context_.has(AttentionIn::start) ? integer(AttentionIn::start, b) : offset);
    KeyRange range{0, time_k};
    if (context_.has(AttentionIn::lengths)) range.hi = std::min(range.hi, integer(AttentionIn::lengths, b));
    if (causal) range.hi = std::min(range.hi, position + 1);
    if (window > 0) {
      range.lo = std::max(range.lo, position - window + 1);
      range.hi = std::min(range.hi, position + window);
    }
    range.hi = std::max<std::int64_t>(range.hi, 0);
    range.lo = std::min(range.lo, time_k);
    return range;
  }
  /// The keys that any of the queries [i, i + rows) sees.
  KeyRange keys(std::int64_t b, std::int64_t i, std::int64_t rows) const {
    return {keys(b, i).lo, keys(b, i + rows - 1).hi};
  }

  /// Products x of query i with keys [j, j + n) become scores, up to the factor that is returned. With a soft cap,
  /// `slope` (if not null) takes the derivative of the capped by the uncapped score.
  A to_scores(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j, std::int64_t n, A* x, A* slope) const {
    A factor = static_cast<A>(scale);
    if (soft_cap > 0) {
      simd.scale(x, static_cast<A>(scale / soft_cap), x, n);
      simd.tanh(x, x, n);
      if (slope != nullptr)
        for (std::int64_t c = 0; c < n; ++c) slope[c] = A(1) - x[c] * x[c];
      factor = static_cast<A>(soft_cap);
    }
    if (bias != nullptr) {
      const ScoreStrides& s = bias_strides;
      const T* row = bias + b * s.batch + h * s.head + i * s.query + j * s.key;
      if (s.key == 0)
        for (std::int64_t c = 0; c < n; ++c) x[c] = factor * x[c] + static_cast<A>(*row);
      else
        for (std::int64_t c = 0; c < n; ++c) x[c] = factor * x[c] + static_cast<A>(row[c]);
      factor = 1;
    }
    if (mask != nullptr) {
      const ScoreStrides& s = mask_strides;
      const bool* row = mask + b * s.batch + h * s.head + i * s.query + j * s.key;
      for (std::int64_t c = 0; c < n; ++c) x[c] = row[c * s.key] ? x[c] : -infinity;
    }
    return factor;
  }

  /// keep / (1 - dropout) of the weights of query i for keys [j, j + n).
  void keep(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j, std::int64_t n, A* out) const {
    const std::int64_t row = row_index(b, h, i) + context_.random().row_offset;
    keep_scale_fill(out, dropout, static_cast<A>(1 / (1 - dropout)), n, static_cast<std::uint32_t>(row), key,
                    context_.random().runs, static_cast<std::uint32_t>(j));
  }

 private:
  // An i32 or i64 operand of one element, or of one for each example.
  std::int64_t integer(int operand, std::int64_t b) const {
    const TensorType& type = context_.type(operand);
    const std::int64_t at = type.count() == 1 ? 0 : b;
    return type.dtype == i64 ? context_.in<std::int64_t>(operand)[at] : context_.in<std::int32_t>(operand)[at];
  }

  KernelContext& context_;
};

}  // namespace weft
