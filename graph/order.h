// Checks the order of transforms by the facts that each needs, forbids and promises.
#pragma once

#include <weft/graph/step.h>

#include <string>
#include <vector>

namespace weft {

/// Checks that `transform` may follow the transforms of `step`. UserError if not: it names both transforms and the
/// reason, and gives the right order as a chain where there is one. The chain is found by trying `transform` at each
/// earlier place, so it can be built.
void check_order(const Step& step, const Transform& transform);

/// "training_step | clip_global_norm | optimize(adamw)".
std::string chain(const std::vector<std::string>& names);

}  // namespace weft
