// The names nearest to a misspelt one, for hints ("did you mean"). Not in <weft/weft.h>.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// Up to `count` of `names`, nearest to `name` first (Levenshtein's distance), as "a, b, c".
std::string nearest(std::string_view name, std::vector<std::string> names, std::size_t count = 3);

}  // namespace weft
