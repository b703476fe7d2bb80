// From the step that people read to the step that runs: meaning-preserving passes through the one runner. Pure and
// idempotent; checkpoint, plan and Program all call it first.
#pragma once

#include <weft/graph/pass.h>

namespace weft {

/// The passes that `step` goes through, in order: fold_constants, common_subexpressions, those that its ops bring
/// (OpDef::lowerings, by Pass::order and name; not the late ones), isolate_updates, dead_code.
std::vector<Pass> lowering_passes(const Step& step);
Step lower(const Step& step, const PassOptions& options = {}, PassReport* report = nullptr);
/// What plan() does to a lowered step, for kernels alone: the passes of its ops that are late (Pass::late),
/// row_regions, dead_code. Checkpoint and the float64 twin read the step before it
/// (docs/decisions/0006-regions-after-lowering.md).
Step fuse(const Step& lowered, const PassOptions& options = {}, PassReport* report = nullptr);

/// Whether no output of the node has an element. Such a node's kernel is neither bound nor run: kernels meet extents of
/// zero in operands only.
bool makes_nothing(const Node& node);

}  // namespace weft
