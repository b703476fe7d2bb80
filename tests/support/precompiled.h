// What nearly every source of the tests includes, as cmake/precompiled.h is for the library.
#pragma once

#include <support/catch.h>

#include <weft/weft.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <source_location>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
