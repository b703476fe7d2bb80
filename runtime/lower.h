// Lowering: the passes that turn a step as written into the step that runs, without changing what it computes. Pure and
// idempotent; checkpoint, plan and Program all call it first.
#pragma once

#include <weft/graph/pass.h>

#include <span>
#include <string_view>

namespace weft {

/// One pass of lowering, or the place at which the passes run that ops bring.
struct LoweringRow {
  std::string_view name;    ///< empty: here run the passes that ops bring and that no row names, such as a user's own
  bool late = false;        ///< run by fuse(), else by lower()
  std::string_view reason;  ///< why it runs, and why here
  Step (*run)(const Step& step) = nullptr;  ///< null: brought by ops (OpDef::lowerings)
};
/// All rows, in the order in which they run.
std::span<const LoweringRow> lowering_table();

/// The rows of lower() that `step` goes through: those that its ops bring, and those that every step needs.
std::vector<Pass> lowering_passes(const Step& step);
Step lower(const Step& step, const PassOptions& options = {}, PassReport* report = nullptr);
/// The late rows, which serve kernels alone: plan() applies them to a lowered step. Checkpoint and the float64 twin
/// read the step before them (docs/decisions/0006-regions-after-lowering.md).
Step fuse(const Step& lowered, const PassOptions& options = {}, PassReport* report = nullptr);

/// Whether every output of the node is empty. Such a node's kernel is neither bound nor run: in kernels only operands
/// can have an extent of 0.
bool makes_nothing(const Node& node);

}  // namespace weft
