// Replaces the initial cotangents of the backward pass (Step::seeds), for loss scaling and accumulation.
#pragma once

#include <weft/graph/step.h>

#include <cstddef>
#include <functional>

namespace weft {

/// The step whose backward pass starts from other cotangents. `make(i, seed)` gets seed i in the new graph and builds
/// its replacement there, of the same type, for all its readers. `prepare` gets the new graph while it is empty: for
/// nodes that all seeds share.
Step replace_seeds(const Step& step, const std::string& pass,
                   const std::function<Value(std::size_t i, const Value& seed)>& make,
                   const std::function<void(Graph graph)>& prepare = {});

}  // namespace weft
