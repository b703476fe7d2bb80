// Picks, globs and policies as a choice over stored values. Private to autodiff/.
#pragma once

#include <weft/autodiff/checkpoint.h>
#include <weft/autodiff/remat/graph.h>

namespace weft::remat {

/// `step` is the step that people read, of which `graph` is the lowered form: globs and handles mean its nodes.
Saved choose(const RematGraph& graph, const Step& step, const CheckpointOptions& options);

}  // namespace weft::remat
