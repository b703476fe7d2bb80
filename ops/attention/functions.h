// A node's score modifier and pattern of pairs, prepared for its kernels. Private to ops/.
#pragma once

#include <weft/ops/attention/pair_blocks.h>
#include <weft/ops/attention/score_program.h>

#include <array>
#include <cstddef>
#include <memory>

namespace weft {

using CapturePointers = std::array<const std::byte*, ScoreFunction::most_captures>;

class AttentionFunctions {
 public:
  /// `first_capture`: the operand; `score_attribute`: "score", or of a backward "score_derivative".
  AttentionFunctions(const OpView& view, int first_capture, const char* score_attribute);

  const ScoreProgram* score() const { return score_.get(); }
  /// Pairs that are computed when the program runs; null: none, or laid out in tiles.
  const ScoreProgram* pairs() const { return pairs_.get(); }
  const PairBlocks* blocks() const { return blocks_.get(); }
  bool any() const { return score_ != nullptr || pairs_ != nullptr || blocks_ != nullptr; }
  void lay_out(const OpView& view) { blocks_ = pair_blocks(view); }  ///< when the node is bound
  /// Where the captures lie in this run.
  void captures(const KernelContext& context, CapturePointers& score, CapturePointers& pairs) const;

  std::size_t score_bytes() const { return score_ == nullptr ? 0 : score_->scratch(); }
  std::size_t pair_bytes() const { return pairs_ == nullptr ? 0 : pairs_->scratch(); }

 private:
  std::shared_ptr<const Description> score_function_, pair_function_;  ///< what the programs refer to
  std::unique_ptr<ScoreProgram> score_, pairs_;
  std::shared_ptr<const PairBlocks> blocks_;
  int first_ = 0;
};

}  // namespace weft
