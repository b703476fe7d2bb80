// Nodes of constant operands become constants.
#pragma once

#include <weft/graph/pass.h>

#include <functional>
#include <optional>

namespace weft {

/// Runs one node over constant operands; nullopt where that is not worth it (the runtime gives this:
/// runtime/lower.cpp).
using NodeEvaluator =
    std::function<std::optional<std::vector<Constant>>(const Graph&, const Node&, const std::vector<const Constant*>&)>;

/// Nodes whose operands are constants become constants of the same bits. Results above `most_bytes` stay nodes.
Step fold_constants(const Step& step, const NodeEvaluator& evaluate, std::size_t most_bytes = 1 << 16);

}  // namespace weft
