// A function of scores bound to blocks of rows x columns of them, for attention's kernels. Private to ops/.
#pragma once

#include <weft/ops/attention/score_function.h>
#include <weft/ops/attention/shape.h>
#include <weft/runtime/kernel.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace weft {

/// Runs the members one after the other on blocks of one size; a slot of scratch() bytes holds the intermediate values.
/// Blocks at the edge are computed whole: elements past the end take the indices of the last row and column.
class ScoreProgram {
 public:
  static constexpr std::int64_t strip_rows = 16;  ///< of a tile that the kernels take at a time: its values stay in L1

  /// `captures`: their types, as the node has them.
  ScoreProgram(const ScoreFunction& function, DType score, const std::vector<TensorType>& captures, std::int64_t rows,
               std::int64_t columns);
  ScoreProgram(const ScoreProgram&) = delete;
  ScoreProgram& operator=(const ScoreProgram&) = delete;

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::size_t scratch() const { return bytes_; }
  const ScoreFunction& function() const { return function_; }

  /// Scores of example b, head h, queries [i, i + rows) and keys [j, j + columns), of which so many are there.
  struct Block {
    std::int64_t b = 0, h = 0, i = 0, j = 0, rows = 0, columns = 0;
    std::int64_t first_position = 0;  ///< of query i
  };
  /// `captures`: where they lie.
  void begin(std::byte* slot, const std::byte* const* captures) const;  ///< once a task
  void place(std::byte* slot, const std::byte* const* captures, const Block& block) const;
  /// A row of the block's scores, to be filled before run(), and of the cotangent, before run_derivative().
  template <class A>
  A* score(std::byte* slot, std::int64_t row) const {
    return row_of<A>(slot, ScoreFunction::score, row);
  }
  template <class A>
  A* cotangent(std::byte* slot, std::int64_t row) const {
    return row_of<A>(slot, function_.inputs() - 1, row);
  }
  void run(std::byte* slot) const { run(slot, 0, score_members_); }  ///< gives output 0
  void run_derivative(std::byte* slot) const { run(slot, score_members_, members_.size()); }
  /// Row `row` of output k.
  template <class A>
  const A* output(std::byte* slot, int k, std::int64_t row) const {
    return row_of<A>(slot, function_.body.outputs[static_cast<std::size_t>(k)], row);
  }

 private:
  struct Member {
    Attributes attributes;
    std::vector<const TensorType*> in;
    std::vector<int> operands;
    int first = 0;  ///< value of its output 0
    std::unique_ptr<OpView> view;
    const Kernel* kernel = nullptr;
    BoundKernel run;
  };

  template <class A>
  A* row_of(std::byte* slot, int value, std::int64_t row) const {
    return reinterpret_cast<A*>(slot + offsets_[static_cast<std::size_t>(value)]) + row * columns_;
  }
  void sort_members();
  void bind_members();
  void place_values();
  void run(std::byte* slot, std::size_t from, std::size_t to) const;

  const ScoreFunction& function_;
  std::vector<TensorType> capture_types_, types_;
  std::vector<ScoreStrides> strides_;  ///< by capture
  std::int64_t rows_, columns_;
  std::vector<std::size_t> order_, firsts_;  ///< members, those of the score first; by member: its first value
  std::vector<Member> members_;
  std::size_t score_members_ = 0;
  std::vector<std::size_t> offsets_;  ///< by value
  std::size_t workspace_ = 0, bytes_ = 0;
};

}  // namespace weft
