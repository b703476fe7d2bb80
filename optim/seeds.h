// The initial cotangents, with which the backward pass starts (Step::seeds): where loss scaling and accumulation act.
#pragma once

#include <weft/graph/step.h>

#include <cstddef>
#include <functional>

namespace weft {

/// The step whose backward pass starts from other cotangents. `make(i, seed)` gets seed i in the new graph and builds
/// what replaces it there, of the same type; everything that read the seed reads that. `prepare` gets the new graph
/// while it is empty: for what all seeds share.
Step replace_seeds(const Step& step, const std::string& pass,
                   const std::function<Value(std::size_t i, const Value& seed)>& make,
                   const std::function<void(Graph graph)>& prepare = {});

}  // namespace weft
