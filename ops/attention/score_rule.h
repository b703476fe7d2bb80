// The numbers of an attention node: those of AttentionOptions that its kernels know. They stand here once: the kernels'
// extents (AttentionShape) and the plain definition (AttentionLaw) are this with more. A new number is an option with
// its words (attention.h), a field here with its name, its constructor's line and its check (score_rule.cpp), and the
// formula that reads it. Not in <weft/weft.h>.
#pragma once

#include <weft/graph/attributes.h>

#include <cstdint>

namespace weft {

struct AttentionOptions;

struct ScoreRule {
  double scale = 1, soft_cap = 0, dropout = 0;  ///< soft_cap, dropout: 0 is none
  bool causal = false;
  std::int64_t window = 0, window_stride = 1, offset = 0;  ///< window 0: none
  std::int64_t stream = 0;
  std::int64_t block_queries = 0, block_keys = 0;  ///< of a tile; 0: by the extents

  /// Of a node.
  explicit ScoreRule(const Attributes& attributes);
  /// Of a call: what is not given takes its default from the width of a head and from the extents of time.
  ScoreRule(const AttentionOptions& options, std::int64_t width, std::int64_t default_offset);

  /// What differs from its default. `positions`: something in the node reads positions, so that `offset` counts.
  Attributes attributes(bool positions) const;
  /// Throws UserError.
  void check() const;
};

}  // namespace weft
