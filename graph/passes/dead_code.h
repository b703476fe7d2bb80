// Nodes that no output needs are left out.
#pragma once

#include <weft/graph/pass.h>

namespace weft {

/// Keeps what fetches and updates need, and every parameter and state (the Store is shared by several graphs' worth of
/// programs): same bits.
Step dead_code(const Step& step);

}  // namespace weft
