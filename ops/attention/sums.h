// Gradients of what was broadcast to the scores (a bias, what a score modifier captures): sums over batch, heads,
// queries or keys, the same for any number of threads. A sum that is larger than `small` is kept once, and the axes
// that it runs over are not cut into tasks; a smaller one has a copy for each task. Private to ops/.
#pragma once

#include <weft/ops/attention/score_function.h>
#include <weft/ops/attention/shape.h>
#include <weft/ops/kit/rows.h>
#include <weft/runtime/kernel.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weft {

/// What sums need to know of a task of the backward.
struct SumTask {
  std::int64_t task, chunk;  ///< indices: of the task among all, of its chunk of keys
};

class AttentionSums {
 public:
  static constexpr std::int64_t small = 4096;  ///< elements

  struct Target {
    int output = 0;  ///< of the node
    /// Outputs of the derivative that are summed: its numbers and, of a table, their elements. None: the bias.
    std::vector<ScoreFunction::CaptureGradient> sources;
    DType dtype = f32;  ///< of the output
    ScoreStrides strides;
    std::int64_t count = 0, copies = 1;
    bool per_task = false, in_output = false;
    std::size_t offset = 0;  ///< of the copies in the workspace
  };

  /// Changes shape.parallel_heads to the tasks that the sums allow.
  AttentionSums(const OpView& view, AttentionShape& shape, int first_capture);

  bool cut_batch() const { return cut_batch_; }
  bool cut_heads() const { return cut_heads_; }
  const std::vector<Target>& targets() const { return targets_; }
  /// Null where the bias gets no gradient.
  const Target* bias() const { return has_bias_ ? &targets_.front() : nullptr; }
  bool any() const { return !targets_.empty(); }
  std::size_t bytes() const { return bytes_; }

  template <class A>
  A* sum(const Target& target, KernelContext& context, std::byte* workspace, const SumTask& task) const {
    if (target.in_output) return context.out<A>(target.output);
    const std::int64_t copy = target.per_task ? task.task : target.copies == 1 ? 0 : task.chunk;
    return reinterpret_cast<A*>(workspace + target.offset) + copy * target.count;
  }

  /// Adds n numbers of query i and keys [j, ..).
  template <class A>
  static void add_row(const Target& target, A* sum, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j,
                      std::int64_t n, const A* d) {
    const ScoreStrides& s = target.strides;
    A* at = sum + b * s.batch + h * s.head + i * s.query + j * s.key;
    if (s.key != 0) simd<A>().add(at, d, at, n);
    else *at += simd<A>().sum(d, n);
  }
  template <class A>
  static void add_to_table(A* sum, const A* d, const std::int64_t* ids, std::int64_t n) {
    for (std::int64_t c = 0; c < n; ++c) sum[ids[c]] += d[c];
  }

  /// clear() sets the sums to zero, before the tasks; finish() writes the outputs, after them.
  template <class A>
  void clear(KernelContext& context, std::byte* workspace) const {
    for (const Target& target : targets_) {
      A* all = sum<A>(target, context, workspace, {0, 0});
      for_row_tiles(target.count * (target.in_output ? 1 : target.copies), 1,
                    [&](std::int64_t begin, std::int64_t end, int) { std::fill(all + begin, all + end, A(0)); });
    }
  }
  template <class A>
  void finish(KernelContext& context, std::byte* workspace) const {
    for (const Target& target : targets_) {
      if (target.in_output) continue;
      A* all = sum<A>(target, context, workspace, {0, 0});
      for_row_tiles(target.count, target.copies, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t copy = 1; copy < target.copies; ++copy)
          simd<A>().add(all + begin, all + copy * target.count + begin, all + begin, end - begin);
        if constexpr (std::is_same_v<A, double>)
          std::copy(all + begin, all + end, context.out<A>(target.output) + begin);
        else if (target.dtype == bf16)
          store<bfloat16>(all + begin, context.out<bfloat16>(target.output) + begin, end - begin);
        else if (target.dtype == f16)
          store<float16>(all + begin, context.out<float16>(target.output) + begin, end - begin);
        else std::copy(all + begin, all + end, context.out<A>(target.output) + begin);
      });
    }
  }

 private:
  std::vector<Target> targets_;
  bool has_bias_ = false;
  bool cut_batch_ = true, cut_heads_ = true;
  std::size_t bytes_ = 0;
};

/// The captures of which a backward with these attributes has gradients, in order.
std::vector<int> summed_captures(const Attributes& attributes);
/// Types of the gradients that attention_backward gives beside d_q, d_k and d_v, in order: of the bias, of captures.
std::vector<TensorType> sum_types(const OpView& view, int first_capture);

}  // namespace weft
