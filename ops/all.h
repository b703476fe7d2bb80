// Declares register_all(), which adds every op of the library to the registry.
#pragma once

namespace weft {

/// Adds the library's ops to the registry. A second call does nothing.
void register_all();

}  // namespace weft
