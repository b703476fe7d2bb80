// From the step that people read to the step that runs: meaning-preserving passes through the one runner. Pure and
// idempotent; checkpoint, plan and Program all call it first.
#pragma once

#include <weft/graph/pass.h>

#include <span>
#include <string_view>

namespace weft {

/// A pass on the way from the step that people read to the one that runs.
struct LoweringRow {
  std::string_view name;    ///< empty: here run the passes that ops bring and that no row names, such as a user's own
  bool late = false;        ///< run by fuse(), else by lower()
  std::string_view reason;  ///< why it runs, and why here
  Step (*run)(const Step& step) = nullptr;  ///< null: brought by ops (OpDef::lowerings)
};
/// All of them, in the order in which they run.
std::span<const LoweringRow> lowering_table();

/// The rows of lower() that `step` goes through: those that its ops bring, and those that every step needs.
std::vector<Pass> lowering_passes(const Step& step);
Step lower(const Step& step, const PassOptions& options = {}, PassReport* report = nullptr);
/// What plan() does to a lowered step, for kernels alone: the late rows. Checkpoint and the float64 twin read the step
/// before it (docs/decisions/0006-regions-after-lowering.md).
Step fuse(const Step& lowered, const PassOptions& options = {}, PassReport* report = nullptr);

/// Whether no output of the node has an element. Such a node's kernel is neither bound nor run: kernels meet extents of
/// zero in operands only.
bool makes_nothing(const Node& node);

}  // namespace weft
