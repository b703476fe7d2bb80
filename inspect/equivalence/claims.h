// What two chains of transforms claim about each other: from Step::applied to what is compared and how.
// Not in <weft/weft.h>.
#pragma once

#include <weft/inspect/equivalence/verify_equivalent.h>

#include <vector>

namespace weft {

/// The transforms by which the steps differ, and what follows from their claims together.
struct Claims {
  std::vector<Equivalence::ClaimLine> lines;
  bool exact = true;      ///< nothing rounds: what is compared must have the same bits
  DType rounds_to = f64;  ///< coarsest type; f64: the steps' own
  bool changes = false;   ///< some change the meaning: parameters and states become others
  bool has_law = false;   ///< gradients are compared through laws

  /// Gradients of `before` and of `after` as they must be equal.
  GradientTable predicted(GradientTable before) const { return stages(std::move(before), false).back(); }
  GradientTable reached(GradientTable after) const { return stages(std::move(after), true).back(); }
  /// Gradients as they are before each law that only one step has (`of_before` says which), and behind the last.
  std::vector<GradientTable> stages(GradientTable table, bool of_before) const;
};

/// Transforms that one has and the other lacks, in the order of the chains (a longest common subsequence by name
/// stays).
Claims claims_between(const Step& before, const Step& after, const EquivalenceOptions& options);

/// Half the distance from 1 to the next number: 2^-8 for bf16.
double unit_roundoff(DType type);

}  // namespace weft
