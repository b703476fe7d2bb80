// The operands of an attention node, and how a row of products q k^T becomes a row of scores; for its kernels.
// Not in <weft/weft.h>.
#pragma once

#include <weft/ops/attention/functions.h>
#include <weft/ops/attention/shape.h>
#include <weft/ops/kit/rows.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/random.h>
#include <weft/runtime/simd/simd.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace weft {

/// The node's operands and the formula of its scores.
template <class T>
struct AttentionScores : AttentionShape {
  using A = Wide<T>;
  static constexpr A infinity = std::numeric_limits<A>::infinity();

  const T *q, *k, *v, *bias;
  const bool* mask;
  ScoreStrides bias_strides, mask_strides;
  const Simd<A>& simd = weft::simd<A>();
  RandomKey key;
  const AttentionFunctions& functions;
  CapturePointers score_captures{}, pair_captures{};

  AttentionScores(KernelContext& context, const AttentionShape& shape, const AttentionFunctions& bound)
      : AttentionShape(shape),
        q(context.in<T>(AttentionIn::q)),
        k(context.in<T>(AttentionIn::k)),
        v(context.in<T>(AttentionIn::v)),
        bias(context.in<T>(AttentionIn::bias)),
        mask(context.in<bool>(AttentionIn::mask)),
        key(random_key(context.random().seed, static_cast<std::uint32_t>(stream))),
        functions(bound),
        context_(context) {
    functions.captures(context, score_captures, pair_captures);
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
    KeyLimits limits(*this, time_k);
    if (context_.has(AttentionIn::start)) limits.offset = integer(AttentionIn::start, b);
    if (context_.has(AttentionIn::lengths)) limits.hi = std::min(time_k, integer(AttentionIn::lengths, b));
    return limits;
  }
  /// Whether scores are more than scaled products.
  bool shaped() const { return soft_cap > 0 || bias != nullptr || mask != nullptr || functions.any(); }

  /// Products x of query i with keys [j, j + n) become scores, up to the factor that is returned. With a soft cap,
  /// `slope` (if not null) takes the derivative of the capped by the uncapped score. Where there is a score modifier, x
  /// has gone through it.
  A to_scores(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j, std::int64_t n, A* x, A* slope) const {
    A factor = functions.score() != nullptr ? A(1) : static_cast<A>(scale);
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
    if (context.type(operand).dtype == dtype_of<T>) narrow_ = context.in<T>(operand);
    else wide_ = context.in<Wide<T>>(operand);
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
