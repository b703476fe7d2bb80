// The pass that computes nodes of constant operands once, at build time (constant folding).
#pragma once

#include <weft/graph/pass.h>

#include <functional>
#include <optional>
#include <string_view>

namespace weft {

/// The pass's name, and the provenance of what it makes.
inline constexpr std::string_view fold_constants_pass = "fold_constants";

/// Computes one node of constant operands; nullopt where that is not worth it. The runtime supplies it
/// (runtime/lower.cpp).
using NodeEvaluator =
    std::function<std::optional<std::vector<Constant>>(const Graph&, const Node&, const std::vector<const Constant*>&)>;

/// Nodes whose operands are constants become constants of the same bits, unless they take more than `most_bytes`.
Step fold_constants(const Step& step, const NodeEvaluator& evaluate, std::size_t most_bytes = 1 << 16);

}  // namespace weft
