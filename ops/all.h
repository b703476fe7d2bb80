// Every op family of the library.
#pragma once

namespace weft {

/// Adds the library's ops to the registry. A second call does nothing.
void register_all();

}  // namespace weft
