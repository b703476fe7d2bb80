// Declares register_all(). Not needed: registry() holds the library's ops from the start.
#pragma once

namespace weft {

/// Fills the registry now, and not at its first use.
void register_all();

}  // namespace weft
