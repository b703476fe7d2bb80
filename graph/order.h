// The order of transforms: each says which facts it needs, forbids and promises, and a wrong order cannot be built.
#pragma once

#include <weft/graph/step.h>

#include <string>
#include <vector>

namespace weft {

/// Whether `transform` may follow what `step` has gone through. UserError if not: it names both transforms and the
/// reason, and where the transforms can stand together it gives the right order as a chain. The chain is found by
/// trying `transform` at each earlier place, so it is one that can be built.
void check_order(const Step& step, const Transform& transform);

/// "training_step | clip_global_norm | optimize(adamw)".
std::string chain(const std::vector<std::string>& names);

}  // namespace weft
