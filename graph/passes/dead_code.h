// The pass that removes nodes that no result of the step needs.
#pragma once

#include <weft/graph/pass.h>

namespace weft {

/// Keeps what fetches and updates need, and every parameter and state (the Store may serve several programs). Same
/// bits.
Step dead_code(const Step& step);

}  // namespace weft
