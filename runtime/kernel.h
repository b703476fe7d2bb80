// What a kernel works with: pointers to its operands and results, its node's types and attributes, a workspace, and
// the counters that key randomness. A kernel allocates nothing.
#pragma once

#include <weft/graph/op_def.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace weft {

/// The state of the random numbers in this run (runtime/random.h): numbers are drawn from (seed, stream) at (column,
/// row + row_offset, runs), where rows run over the leading axes of the FULL batch.
struct RandomState {
  std::uint64_t seed = 0;
  std::uint64_t runs = 0;
  std::int64_t row_offset = 0;
};

/// Which micro-batch of a run is executing (Phase::micro; optim/accumulate.h).
struct MicroBatch {
  std::int64_t index = 0;
  std::int64_t count = 1;
};

class KernelContext {
 public:
  KernelContext(const OpView& view, std::span<const std::byte* const> in, std::span<std::byte* const> out,
                std::byte* workspace, const RandomState& random, MicroBatch micro = {})
      : view_(view), in_(in), out_(out), workspace_(workspace), random_(random), micro_(micro) {}

  const OpView& view() const { return view_; }
  const Attributes& attributes() const { return view_.attributes; }
  bool has(int i) const { return view_.has(i); }
  const TensorType& type(int i) const { return view_.type(i); }
  const TensorType& out_type(int i) const { return view_.out_type(i); }

  /// Elements of operand i (null if absent) and of output i. An output may share an operand's buffer
  /// (Traits::in_place).
  template <class T>
  const T* in(int i) const {
    return has(i) ? reinterpret_cast<const T*>(in_[static_cast<std::size_t>(i)]) : nullptr;
  }
  template <class T>
  T* out(int i) const {
    return reinterpret_cast<T*>(out_[static_cast<std::size_t>(i)]);
  }
  const std::byte* in_bytes(int i) const { return in_[static_cast<std::size_t>(i)]; }
  std::byte* out_bytes(int i) const { return out_[static_cast<std::size_t>(i)]; }
  /// Kernel::workspace bytes, aligned to 64.
  std::byte* workspace() const { return workspace_; }
  const RandomState& random() const { return random_; }
  MicroBatch micro() const { return micro_; }

 private:
  const OpView& view_;
  std::span<const std::byte* const> in_;
  std::span<std::byte* const> out_;
  std::byte* workspace_;
  const RandomState& random_;
  MicroBatch micro_;
};

}  // namespace weft
