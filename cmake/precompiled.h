// What nearly every source of the library includes, parsed once (WEFT_PRECOMPILE). Sources name their own includes all
// the same: the preset `dev` is without this.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <weft/graph/op_def.h>
#include <weft/graph/registry.h>
#include <weft/graph/step.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/pointwise/arithmetic.h>
