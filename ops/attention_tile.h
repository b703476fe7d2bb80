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

  /// A tile: q_rows queries by k_rows keys. Smaller where there is little to share out.
  std::int64_t q_rows() const {
    return std::clamp<std::int64_t>(time_q, 1, batch * heads * time_q < tasks * 96 ? 48 : 96);
  }
  std::int64_t k_rows() const {
    return std::clamp<std::int64_t>(time_k, 1, batch * kv_heads * time_k < tasks * 256 ? 64 : 256);
  }
  std::int64_t k_blocks() const { return (time_k + k_rows() - 1) / k_rows(); }

  /// Queries of a task of the forward: each task packs the keys that it sees.
  std::int64_t q_chunk() const {
    const std::int64_t wanted = parts(batch * heads), rows = q_rows();
    return std::clamp<std::int64_t>(((time_q + wanted - 1) / wanted + rows - 1) / rows, 1, 480 / rows) * rows;
  }
  /// Keys of a task of the backward: all, or some where there are few heads. Each sums its share of d_q by itself.
  std::int64_t k_chunk() const {
    const std::int64_t wanted = parts(batch * kv_heads);
    return std::max<std::int64_t>(1, (k_blocks() + wanted - 1) / wanted) * k_rows();
  }
  std::int64_t k_chunks() const { return (time_k + k_chunk() - 1) / k_chunk(); }

 private:
  static constexpr std::int64_t tasks = 16;  ///< wanted at least
  static std::int64_t parts(std::int64_t heads) {
    return heads >= tasks / 2 ? 1 : tasks / std::max<std::int64_t>(heads, 1);
  }
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

/// Which keys a query of one example may see, before the mask; both ends grow with i.
struct KeyLimits {
  std::int64_t offset, hi, time_k, window;
  bool causal;

  KeyRange keys(std::int64_t i) const {
    const std::int64_t position = i + offset;
    KeyRange range{0, hi};
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
  KeyRange keys(std::int64_t i, std::int64_t rows) const { return {keys(i).lo, keys(i + rows - 1).hi}; }
};

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
  std::int64_t row_index(std::int64_t b, std::int64_t h, std::int64_t i) const { return (b * heads + h) * time_q + i; }

  KeyLimits limits(std::int64_t b) const {
    return {context_.has(AttentionIn::start) ? integer(AttentionIn::start, b) : offset,
            context_.has(AttentionIn::lengths) ? std::min(time_k, integer(AttentionIn::lengths, b)) : time_k, time_k,
            window, causal};
  }
  /// Whether scores are more than scaled products.
  bool shaped() const { return soft_cap > 0 || bias != nullptr || mask != nullptr; }

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

/// One number for each row, in T or in the type T is computed in.
template <class T>
class RowScalars {
 public:
  RowScalars(KernelContext& context, int operand) {
    if (!context.has(operand)) return;
    if (context.type(operand).dtype == dtype_of<T>)
      narrow_ = context.in<T>(operand);
    else
      wide_ = context.in<Wide<T>>(operand);
  }
  explicit operator bool() const { return narrow_ != nullptr || wide_ != nullptr; }
  Wide<T> operator[](std::int64_t row) const {
    return narrow_ != nullptr ? static_cast<Wide<T>>(narrow_[row]) : wide_[row];
  }

 private:
  const T* narrow_ = nullptr;
  const Wide<T>* wide_ = nullptr;
};

}  // namespace weft
