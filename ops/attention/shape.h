// What the attention kernels know of their node without its pointers: extents, options, and which keys a query may see.
// Block sizes and the cut into tasks depend on shapes only, so bits do not depend on the number of threads.
// Not in <weft/weft.h>.
#pragma once

#include <weft/graph/op_def.h>
#include <weft/ops/attention/score_rule.h>

#include <algorithm>
#include <cstdint>

namespace weft {

/// Operands of `attention`; those of `attention_backward` go on from there.
struct AttentionIn {
  enum : int { q, k, v, bias, mask, lengths, start, count };
  enum : int { y = count, top, log_sum, d_y, d_logsumexp };
};

/// Extents and numbers of a node; no pointers.
struct AttentionShape : ScoreRule {
  std::int64_t batch, heads, kv_heads, time_q, time_k, width, value_width;
  std::int64_t parallel_heads;  ///< batch x kv_heads that tasks of the backward are cut by
  bool low;  ///< bf16 products in bf16 where the processor emulates them too (attention_in_bf16, ops/fuse/passes.h)

  explicit AttentionShape(const OpView& view);

  std::int64_t group() const { return heads / kv_heads; }

  /// A tile: q_rows queries by k_rows keys. Smaller where large tiles would give too few tasks.
  std::int64_t q_rows() const {
    if (block_queries > 0) return std::clamp<std::int64_t>(time_q, 1, block_queries);
    return std::clamp<std::int64_t>(time_q, 1, batch * heads * time_q < tasks * 96 ? 48 : 96);
  }
  std::int64_t k_rows() const {
    if (block_keys > 0) return std::clamp<std::int64_t>(time_k, 1, block_keys);
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
    const std::int64_t wanted = parts(parallel_heads);
    return std::max<std::int64_t>(1, (k_blocks() + wanted - 1) / wanted) * k_rows();
  }
  std::int64_t k_chunks() const { return (time_k + k_chunk() - 1) / k_chunk(); }

 private:
  static constexpr std::int64_t tasks = 16;  ///< wanted at least
  static std::int64_t parts(std::int64_t heads) {
    return heads >= tasks / 2 ? 1 : tasks / std::max<std::int64_t>(heads, 1);
  }
};

/// Checks the operands that forward and backward both read; throws UserError.
void check_attention_operands(const OpView& view);

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
  std::int64_t offset, hi, time_k, window, window_stride;
  bool causal;

  /// All keys exist; an example with a start or a length of its own sets `offset` and `hi`.
  KeyLimits(const ScoreRule& rule, std::int64_t time_k)
      : offset(rule.offset),
        hi(time_k),
        time_k(time_k),
        window(rule.window),
        window_stride(rule.window_stride),
        causal(rule.causal) {}

  KeyRange keys(std::int64_t i) const {
    const std::int64_t position = i + offset;
    KeyRange range{0, hi};
    if (causal) range.hi = std::min(range.hi, position + 1);
    if (window > 0 && window_stride == 1) {
      range.lo = std::max(range.lo, position - window + 1);
      range.hi = std::min(range.hi, position + window);
    } else if (window > 0) {  // windows m with m stride <= position < m stride + window
      const std::int64_t first = floor_divided(position - window, window_stride) + 1;
      const std::int64_t last = floor_divided(position, window_stride);
      range.lo = std::max(range.lo, first * window_stride);
      range.hi = std::min(range.hi, first > last ? first * window_stride : last * window_stride + window);
    }
    range.hi = std::max<std::int64_t>(range.hi, 0);
    range.lo = std::min(range.lo, time_k);
    return range;
  }
  static std::int64_t floor_divided(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }
  /// The keys that any of the queries [i, i + rows) sees.
  KeyRange keys(std::int64_t i, std::int64_t rows) const { return {keys(i).lo, keys(i + rows - 1).hi}; }
};

}  // namespace weft
