// What each strategy for attention costs: bytes from a plan of it, operations from its definition. Private to
// autodiff/.
#pragma once

#include <weft/autodiff/attention_policy.h>

namespace weft {

struct AttentionBytes {
  std::size_t arena = 0;  ///< of one attention
  std::size_t kept = 0;   ///< from its forward to its backward pass, beside q, k and v
};
/// By the plan of one attention, as AttentionAdvice::Candidate says. window 0: none.
AttentionBytes attention_bytes(const AttentionCase& problem, bool plain, std::int64_t window, int threads);

/// Of all layers.
double attention_flops(const AttentionCase& problem, AttentionStrategy strategy, std::int64_t window);

}  // namespace weft
